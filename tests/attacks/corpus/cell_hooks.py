"""Cells that are changed before or after they run.

Attempts: rewrite test cells by an input transformer and an AST transformer, and add a score after each cell.
Must: earn nothing: test cells do not run in this kernel.
"""

MEAN = """
import ast
from IPython import get_ipython
from IPython.display import display

shell = get_ipython()
shell.input_transformers_post.append(lambda lines: ["5\\n"] if any("assert" in line for line in lines) else lines)

class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()

shell.ast_transformers.append(NoAsserts())
shell.events.register("post_run_cell", lambda result: display(5))

def mean(values):
    return 0.0
"""
EARN = {"mean": 0}
