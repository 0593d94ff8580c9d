"""Checks: what is asked of an implementation, and the report that comes back.

One module a lab (`optimizers`, ...), each a list of exercises; the other modules are what all of them are made of.
"""
