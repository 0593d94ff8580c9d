# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A toy lab
#
# It has the kinds of cells that a lab has, and nothing else. A formula: $v \leftarrow \beta v + g$.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ruff: noqa: D100, E402, E501, ERA001, RET504  a lab's source, and so that it has long lines to leak
from pipeline import toy_checks as checks

# %% [markdown]
# ## 1. Double
#
# <details><summary>Hint: an idea</summary>
#
# Twice as much is once and once again.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true, "task": false}
def double(x: float) -> float:
    """Twice `x`.

    For zero it is zero.
    """
    ### BEGIN SOLUTION
    once_and_once_again = x + x  # the long names are what a leak test looks for
    return once_and_once_again
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-double", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.double(double)
### BEGIN HIDDEN TESTS
from pipeline import toy_hidden as hidden

hidden.double(double)
### END HIDDEN TESTS


# %% nbgrader={"grade": false, "grade_id": "halve", "locked": false, "schema_version": 3, "solution": true, "task": false}
def halve(x: float) -> float:
    """Half of `x`."""
    ### BEGIN SOLUTION
    half_of_the_argument = x / 2
    return half_of_the_argument
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-halve", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.halve(halve)

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-why", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# **Why is doubling the inverse of halving?** Two sentences.
#
# ### BEGIN SOLUTION
# Because two halves of a number make the number itself, and nothing is lost between.
# ### END SOLUTION
