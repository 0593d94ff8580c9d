"""What runs inside the sandbox, beside submitted code.

Only this folder of the staff package is mounted there, so nothing in it may be
secret and nothing in it may import the rest of `gradlab_grading`.
"""
