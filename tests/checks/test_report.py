"""A report is a score to nbgrader, an explanation to people, and shares no secret."""

import html.parser
import json

import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
from nbgrader.utils import determine_grade

from gradlab.checks import optimizers as checks
from gradlab.checks import preprocessing, sharding
from gradlab.checks.case import Case
from gradlab.checks.exercise import Exercise
from gradlab.checks.report import MIMETYPE
from gradlab.checks.show import show
from gradlab.mistakes import optimizers as mistakes
from gradlab.mistakes import sharding as wrong_sharding
from gradlab.seam import probe
from gradlab.seam.handle import local
from gradlab_grading.alternatives import optimizers as alternatives
from gradlab_grading.hidden import Hidden


def toy(*cases, points=10.0, visible=4.0):
    return Exercise("momentum", "optimizers", lambda draw: iter(cases), points, visible, ("f",), "skill")


def doubles(x):
    return 2 * x


RIGHT = Case("doubles", run=lambda f: f(3), want=6, weight=3)
WRONG = Case("halves", run=lambda f: f(4), want=2)
NOTHING = Case("keeps zero", run=lambda f: f(0), want=0, trivial=True)


def grade(report, points):
    """What nbgrader makes of a cell that shows the report."""
    output = nbformat.v4.new_output("execute_result", report._repr_mimebundle_())
    marks = {"grade": True, "solution": False, "locked": True, "points": points, "grade_id": "t", "schema_version": 3}
    return determine_grade(nbformat.v4.new_code_cell("", outputs=[output], metadata={"nbgrader": marks}))


def test_nbgrader_reads_partial_credit():
    assert grade(toy(RIGHT, WRONG)(doubles), 4) == (3.0, 4.0)
    assert grade(toy(RIGHT)(doubles), 4) == (4.0, 4.0)
    assert grade(toy(WRONG)(doubles), 4) == (0.0, 4.0)


def test_a_trivial_case_earns_nothing_alone():
    assert toy(WRONG, NOTHING)(doubles).score == 0
    assert toy(RIGHT, NOTHING)(doubles).score == 4


def test_the_stub_is_not_written_yet():
    def stub(x):
        raise NotImplementedError

    report = toy(RIGHT, WRONG)(stub)
    assert report.score == 0
    assert "not written yet" in str(report)
    assert not report.mistakes


def test_visible_checks_never_claim_more_than_they_are():
    assert "visible checks passed" in toy(RIGHT)(doubles).headline
    assert "hidden checks decide 6 more" in toy(RIGHT)(doubles).headline


def test_a_failed_case_says_what_was_called_what_came_and_what_was_wanted():
    text = str(toy(WRONG)(doubles))
    assert "f(4)" in text
    assert "got: 8" in text
    assert "wanted: 2" in text


def test_a_mistake_is_named_with_its_belief():
    report = checks.momentum(mistakes.gradient_averaged_in)
    assert [known.name for known in report.mistakes] == ["gradient_averaged_in"]
    page = report._repr_mimebundle_()["text/html"]
    assert "running mean" in page
    assert "Gradient averaged in" in str(report)


def test_a_mistake_of_a_function_that_is_right_is_not_named():
    def one(layers, width, vocabulary, sequence):
        return 1

    def used(tokens_per_second, operations_per_token, devices, peak):
        return tokens_per_second * operations_per_token / devices / peak

    report = sharding.flops_per_token(one, used)
    assert [row.passed for row in report.rows] == [False, False, True, True]
    assert not report.mistakes
    (known,) = sharding.flops_per_token(one, wrong_sharding.the_peak_of_one_device_for_all).mistakes
    assert known.name == "the_peak_of_one_device_for_all"


def test_of_two_functions_the_one_that_is_wrong_is_named():
    def fit(x):
        spread = jnp.std(x, axis=0)
        return {"mean": jnp.mean(x, axis=0), "scale": jnp.where(jnp.ptp(x, axis=0) == 0, 1.0, spread)}

    def apply(scaler, x):
        scaler = fit(x)
        return (x - scaler["mean"][None]) / scaler["scale"][None]

    report = preprocessing.scaler(fit, apply)
    assert [known.name for known in report.mistakes] == ["scaled_by_its_own_rows"]


def test_asking_a_traced_number_for_its_value_is_one_mistake_whatever_line_does_it():
    case = Case("traced", run=lambda f: probe.program(f, jnp.ones(3)).run(), want=0)

    def by_int(x):
        return int(x[0])

    def by_if(x):
        return x if x[0] > 0 else 2 * x

    def by_numpy(x):
        return np.asarray(x)

    def broken(x):
        return x + jnp.ones(2)

    one, other, third, fourth = (case.ask(local(f=f)).got for f in (by_int, by_if, by_numpy, broken))
    assert case.same(one, other)
    assert case.same(other, third)
    assert not case.same(one, fourth)
    assert not case.same(fourth, 0.0)


def test_hidden_cases_show_a_name_and_a_verdict_only():
    report = Hidden(toy(RIGHT, WRONG), None)(doubles)
    assert report.points == 10
    assert report.score == pytest.approx(7.5, abs=1e-9)
    hidden = [row for row in report.rows if row.hidden]
    assert len(hidden) == 2
    assert not any(row.called or row.got or row.wanted or row.problem or row.because for row in hidden)


def test_the_seed_of_the_hidden_check_changes_its_inputs():
    answers = []

    def spy(params, gradients, velocity, learning_rate, decay=0.9):
        answers.append(learning_rate)
        return alternatives.momentum_by_optax(params, gradients, velocity, learning_rate, decay)

    whole = Hidden(checks.momentum, None)
    with jax.numpy_rank_promotion("raise"):
        assert whole(spy).score == 7
    assert len(set(answers)) == 2


def test_the_wrong_number_of_implementations_names_what_is_taken():
    with pytest.raises(TypeError, match=r"checks.as_transformation\(as_transformation, adam\) takes 2, got 1"):
        checks.as_transformation(doubles)


def test_what_the_check_cannot_use_fails_and_says_so():
    case = Case("needs a pair", run=lambda f: f(1)[0] + 1, want=2)
    report = toy(case)(doubles)
    assert not report.passed
    assert "cannot use" in report.rows[0].problem


class Parser(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_escapes_what_students_return():
    report = toy(WRONG)(lambda x: "<script>alert(1)</script>")
    page = report._repr_mimebundle_()["text/html"]
    parser = Parser()
    parser.feed(page)
    assert not parser.open
    assert "<script>" not in page


def test_the_data_is_json():
    data = toy(RIGHT, WRONG)(doubles)._repr_mimebundle_()[MIMETYPE]
    assert json.loads(json.dumps(data))["score"] == 3


def test_dictionaries_read_alike_whatever_their_order():
    assert show({"weight": 2.0, "bias": {2: "b", 10: "c"}}) == show({"bias": {10: "c", 2: "b"}, "weight": 2.0})
    assert show({"weight": 2.0, "bias": {10: "c", 2: "b"}}) == "{'bias': {2: 'b', 10: 'c'}, 'weight': 2}"
    assert show({"a": 1, 2: 3}) == "{'a': 1, 2: 3}"
