"""The collectives widget: it reads the student's messages right, and says what goes wrong where."""

import json

import numpy as np
import pytest

from gradlab.widgets import Collectives
from gradlab.widgets.collectives.picture import HEIGHT, WIDTH, layout
from gradlab.widgets.collectives.story import AXIS, Reader, bound, numbers, tell
from widgets import ring_functions as rings

SIZE = 4


def verdicts(function, size=SIZE):
    answer, _ = Collectives(function).answer_play({"devices": size, "seed": 0})
    assert not answer["problem"]
    return {line["text"]: line["good"] for line in answer["verdicts"]}


def counts(frame):
    return [[cell.count for cell in row] for row in frame.cells]


@pytest.mark.parametrize("function", rings.RIGHT, ids=lambda function: function.__name__)
def test_a_right_ring_is_at_the_bound(function):
    for size in (2, 5):
        assert all(verdicts(function, size).values())
        story = tell(function, size, 0)
        assert (story.steps, story.frames[-1].sent) == (2 * (size - 1), pytest.approx(bound(size)))
        assert all(not cell.wrong for frame in story.frames for row in frame.cells for cell in row)
        # Each step of the first half adds a share to one chunk of each device; by then one is whole.
        assert [sum(map(sum, counts(frame))) for frame in story.frames[:size]] == [
            size * (size + k * (k + 1) // 2) for k in range(size)
        ]


def test_the_result_is_numpys_sum():
    story = tell(rings.scan, 5, 3)
    want = numbers(5, 3).sum(axis=0)
    assert [[cell.value for cell in row] for row in story.frames[-1].cells] == [want.tolist()] * 5


def test_whole_vectors_are_right_and_too_many():
    story = tell(rings.whole_vectors, SIZE, 0)
    assert [frame.load for frame in story.frames[1:]] == [1.0] * 3
    assert [len(message.parts) for message in story.frames[1].messages] == [4] * 4
    found = verdicts(rings.whole_vectors)
    assert found["Every device has the sum."]
    assert not found["The busiest device sends 3 vectors; the bound is 2(n-1)/n = 1.5: 2 times too many bytes."]


@pytest.mark.parametrize(
    ("function", "first", "reason"),
    [
        # the result of an incomplete sum is only known to be incomplete at the end
        (rings.one_step_too_few, 5, "are missing"),
        (rings.wrong_direction, 1, "shares of different chunks are mixed"),
        (rings.adds_again, 4, "is in it more than once"),
        (rings.open_ring, 3, "are missing"),
        (rings.mean, 1, "no sum of the devices' shares"),
        (rings.silent, 0, "are missing"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_ring_is_marked_where_it_goes_wrong(function, first, reason):
    answer, _ = Collectives(function).answer_play({"devices": SIZE, "seed": 0})
    faults = [any(cell["wrong"] for row in frame["cells"] for cell in row) for frame in answer["frames"]]
    assert faults.index(True) == first
    assert faults[-1]
    assert reason in answer["verdicts"][0]["text"]
    if first:
        assert "Now wrong: device 0, chunk" in answer["frames"][first]["words"]


def test_a_cheat_is_seen():
    found = verdicts(rings.cheat)
    assert found["Every device has the sum."]
    assert not found["It calls psum: the library sends for you. Only ppermute sends a message of yours."]
    assert not tell(rings.cheat, SIZE, 0).own


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (rings.unwritten, "unwritten is not written yet."),
        (rings.raising, "in the line: return x.reshape(size, 3)"),
        (rings.half, "the result has shape (2,), and x has shape (4,)"),
        (lambda x, axis_name, size: (x, x), "the result is a tuple"),
        (rings.some_only, "ppermute is called on some devices and not on 0"),
        (rings.endless, "a while loop that does not stop?"),
        (3, "This is 3, not a function."),
    ],
    ids=["unwritten", "raising", "half", "tuple", "some only", "endless", "no function"],
)
def test_what_cannot_be_played_says_why(function, words):
    widget = Collectives(function, devices=SIZE)
    answer, _ = widget.answer_play({"devices": SIZE, "seed": 0})
    assert words in answer["problem"]
    assert answer["frames"] == []
    assert words in widget.picture()[1]


def test_numbers_are_read_back():
    """One share, a sum, a share taken twice, a mixture, a mean, zeros; against sums made here."""
    x = numbers(3, 0)
    shares = np.array([1, 8, 64])[:, None] * np.ones(3)
    chunks = np.array([1, 9, 81]) * np.ones((3, 1))
    reader = Reader(x)

    def read(*weights):
        weights = np.reshape(weights, (3, 3))
        return reader.read(*(np.sum(weights * codes) for codes in (x, shares, chunks)))

    one = read(0, 0, 0, 0, 0, 1, 0, 0, 0)
    assert (one.chunk, one.shares, one.wrong) == (2, (0, 1, 0), "")
    assert read(1, 0, 0, 1, 0, 0, 1, 0, 0).count == 3
    assert "devices 0 and 2 are in it more than once" in read(0, 2, 0, 0, 1, 0, 0, 3, 0).wrong
    assert "mixed" in read(1, 0, 0, 0, 1, 0, 0, 0, 0).wrong
    assert "no sum" in read(1 / 3, 0, 0, 1 / 3, 0, 0, 1 / 3, 0, 0).wrong
    assert "nobody" in read(*[0] * 9).wrong
    assert "no sum" in reader.read(np.nan, np.nan, np.nan).wrong


@pytest.mark.parametrize("size", range(2, 9))
def test_no_boxes_overlap_or_leave_the_picture(size):
    place = layout(size)
    width, height = place["box"]["width"], place["box"]["height"]
    for i, (x, y) in enumerate(place["devices"]):
        assert width / 2 <= x <= WIDTH - width / 2
        assert height / 2 <= y <= HEIGHT - height / 2
        for other_x, other_y in place["devices"][:i]:
            assert abs(x - other_x) >= width + 20 or abs(y - other_y) >= height + 20


def test_answers_are_plain_and_kept():
    calls = []

    def counted(x, axis_name, size):
        calls.append(axis_name)
        return rings.whole_vectors(x, axis_name, size) * float("nan")

    widget = Collectives(counted, devices=2)
    first, _ = widget.answer_play({"devices": 2, "seed": 0})
    json.dumps(first, allow_nan=False)
    made = len(calls)
    assert widget.answer_play({"devices": 2, "seed": 0})[0] == first
    assert len(calls) == made
    assert set(calls) == {AXIS}


def test_the_picture_shows_the_result():
    html, text = Collectives(rings.adds_again, devices=SIZE).picture()
    assert html.count("<title>") == SIZE * SIZE
    assert html.count("gl-cell gl-wrong") == 12
    assert "Wrong in 12 of 16 chunks" in text


@pytest.mark.parametrize(("keyword", "value"), [("devices", 9), ("devices", 1), ("latency", 0), ("bandwidth", -1)])
def test_a_setting_that_there_is_not_is_refused(keyword, value):
    with pytest.raises(ValueError, match=keyword):
        Collectives(rings.scan, **{keyword: value})
