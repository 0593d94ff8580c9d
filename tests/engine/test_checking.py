"""What the checker makes of a grade cell."""

import ast

import pytest

from gradlab_grading import checking

HIDDEN = "from gradlab_grading.hidden import optimizers as hidden\n"


def run_of(source):
    """The statements that the checker runs."""
    return "\n".join(map(ast.unparse, checking._unrepeated(ast.parse(source).body)))


def test_a_hidden_check_has_the_visible_one_in_it():
    cell = "checks.adam(adam)\n" + HIDDEN + "hidden.adam(adam)"
    assert run_of(cell) == HIDDEN + "hidden.adam(adam)"
    two = "checks.fit(fit, stop)\n" + HIDDEN + "hidden.fit(fit, stop)"
    assert "checks" not in run_of(two)


@pytest.mark.parametrize(
    "cell",
    [
        "checks.adam(adam)",
        "checks.adam(adam)\nhidden.adamw(adamw)",
        "checks.adam(mine)\nhidden.adam(adam)",
        "report = checks.adam(adam)\nhidden.adam(adam)",
        "checks.adam(adam, seed=1)\nhidden.adam(adam)",
        "adam(1)\nhidden.adam(adam)",
    ],
)
def test_all_else_is_run(cell):
    assert run_of(cell) == cell
