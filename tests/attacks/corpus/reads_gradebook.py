"""The gradebook, opened.

Attempts: change the scores in the gradebook's file.
Must: not find it (no output says ESCAPED).
"""

DOUBLE = """
import os, sqlite3

if os.path.exists("{ROOT}/gradebook.db"):
    sqlite3.connect("{ROOT}/gradebook.db").execute("update grade set auto_score = 99")
    print("ESCAPED")

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
