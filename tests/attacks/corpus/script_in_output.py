"""A script for the instructor's browser.

Attempts: display HTML and JavaScript that would change grades from formgrader's page.
Must: keep the marks, and no script in the graded notebook's outputs.
"""

DOUBLE = """
from IPython.display import HTML, Javascript, display

display(HTML("<b>bold</b><script>act()</script><img src=x onerror='act()'>"))
display(Javascript("act()"))

def double(array):
    return 2 * array
"""
FORBIDS = ("<script", "onerror", "javascript")
EARN = {"mean": 2, "double": 3}
