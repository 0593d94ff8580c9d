"""A tag that skips the test.

Attempts: tag test cells `skip-execution`, which earns full marks in stock nbgrader.
Must: earn nothing with a wrong answer, with a note.
"""

MEAN = """
def mean(values):
    return None
"""
EARN = {"mean": 0, "double": 3}
SAYS = "skip-execution"


def edit(notebook):
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["metadata"]["tags"] = ["skip-execution", "raises-exception"]
