"""Known mistakes of the toy lab."""

from gradlab.checks.mistake import mistake


@mistake(of="double")
def double_is_the_square(x):
    """Doubling is multiplying a number with itself.

    Compare 2 * 3 with 3 * 3.
    """
    return x * x
