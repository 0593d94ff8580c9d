"""Hidden checks for the toy lab."""

from toy_checks import Exercise

double = Exercise(lambda argument_of_the_hidden_check: 2 * argument_of_the_hidden_check, points=4)
