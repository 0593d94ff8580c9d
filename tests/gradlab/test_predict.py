"""A guess is shown beside the measurement, in words and as a picture with a text of its own."""

import xml.etree.ElementTree as ET

import pytest

from gradlab import predict


@pytest.mark.parametrize(
    ("guess", "measured", "verdict"),
    [
        (0.5, 0.5, "exactly as predicted"),
        (0.6, 0.5, "too large by 20%"),
        (0.25, 1.0, "too small by a factor of 4"),
        (-1.0, 2.0, "off by 3"),
        (0.0, 0.25, "off by 0.25"),
        (-2.0, -1.0, "too small by a factor of 2"),
    ],
)
def test_the_distance_is_said_in_words(guess, measured, verdict):
    assert predict.reveal(guess, measured, "the rate").verdict == verdict


def test_the_picture_is_labelled_and_its_bars_are_to_scale():
    html = predict.reveal(1.0, 2.0, "a < b")._repr_mimebundle_()["text/html"]
    figure = ET.fromstring(html)
    assert figure.find("svg").get("aria-label") == "a < b: predicted 1, measured 2 (too small by a factor of 2)"
    guess, measured = (float(bar.get("width")) for bar in figure.iter("rect"))
    assert measured == pytest.approx(2 * guess, rel=1e-2)


@pytest.mark.parametrize("guess", [None, True, "0.5", float("nan"), float("inf")], ids=repr)
def test_what_is_no_number_is_refused_with_the_fix(guess):
    with pytest.raises(ValueError, match="commit a number"):
        predict.reveal(guess, 1.0, "the rate")
