"""The seam between a check and the implementation that it judges.

A check holds a `Handle` and never the student's object. What crosses is plain data (`plain`), named public functions
of this package (`portable`) and references. The same check therefore runs in the student's notebook, in the tests and
in a grader's process that the student's code never enters.
"""
