"""The race's arithmetic, in the kernel: paths, verdicts, and what becomes of wrong functions."""

import json
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.landscapes import DigitsSlice, Quadratic
from gradlab.widgets import OptimizerRace
from gradlab.widgets.optimizer_race.race import LEARNING_RATES, STEPS
from gradlab.widgets.optimizer_race.surfaces import SURFACES, TILT, contours, height_and_slope, terrain
from gradlab.widgets.optimizer_race.verdicts import judge
from widgets.race_functions import RIGHT, WRONG, untraceable

QUADRATIC = SURFACES["quadratic"]


@pytest.fixture(scope="module")
def right():
    return OptimizerRace(RIGHT)


@pytest.fixture(scope="module")
def wrong():
    return OptimizerRace(WRONG)


def ask(widget, *, bank, **changes):
    """What the view gets: finishes by lane and rate, and the two buffers as arrays."""
    setting = asdict(replace(widget.setting, **changes))
    question = json.loads(json.dumps({"setting": setting, "bank": bank}))
    answer, buffers = widget.answer_race(question)
    answer = json.loads(json.dumps(answer, allow_nan=False))
    shape = (-1, len(answer["rates"]), STEPS + 1, 3)
    return answer, *(np.frombuffer(buffer, np.float32).reshape(shape) for buffer in buffers)


def words(answer):
    return [row[0]["problem"] or ", ".join(row[0]["badges"]) for row in answer["finishes"]]


def test_gradient_descent_follows_the_closed_form(right):
    """On a quadratic, x_k = (I - rate A)^k x_0."""
    _, paths, _ = ask(right, bank=True, start=(-3.0, 2.0), condition=50.0)
    matrix = Quadratic.with_condition(50, angle=TILT).matrix.astype(float)
    for rate in (0, 20, 33):  # 2/L = 2 is stop 33
        shrink = np.eye(2) - float(LEARNING_RATES[rate]) * matrix
        wanted = np.array([np.linalg.matrix_power(shrink, k) @ [-3.0, 2.0] for k in range(STEPS + 1)])
        # float32 loses up to a unit in the last place at each of 150 steps
        np.testing.assert_allclose(paths[0, rate, :, :2], wanted, rtol=1e-4, atol=1e-4)
        heights = 0.5 * np.einsum("ki,ij,kj->k", wanted, matrix, wanted)
        np.testing.assert_allclose(paths[0, rate, :, 2], heights, rtol=1e-3, atol=1e-5)


def test_two_over_l_is_a_stop_and_parts_divergence_from_convergence(right):
    rate = int(np.flatnonzero(LEARNING_RATES == 2.0)[0])
    answer, paths, _ = ask(right, bank=True)
    descent = [finish["badges"] for finish in answer["finishes"][0]]
    assert all("diverged" not in badges for badges in descent[: rate + 1])
    assert all("diverged" in badges for badges in descent[rate + 1 :])
    assert paths[0, rate - 1, -1, 2] < paths[0, rate - 1, 0, 2] < paths[0, rate + 1, -1, 2]


@pytest.mark.parametrize("surface", SURFACES)
def test_right_functions_follow_the_library_at_every_rate(right, surface):
    """Even where a run is chaotic, and the order of a multiplication decides where it ends."""
    place = SURFACES[surface]
    answer, _, ghosts = ask(right, bank=True, surface=surface, start=place.start, decay=0.95, b1=0.8, b2=0.99)
    assert {finish["departs"] for row in answer["finishes"] for finish in row} == {None}
    assert answer["ghosts"] == []
    assert ghosts.size == 0


def test_knobs_reach_the_functions_that_take_them(right):
    _, before, _ = ask(right, bank=False)
    for knob, value, moved in (("decay", 0.5, {1, 2, 3}), ("b1", 0.5, {4, 5}), ("b2", 0.9, {4, 5})):
        _, after, _ = ask(right, bank=False, **{knob: value})
        assert {i for i in range(6) if not np.array_equal(before[i], after[i])} == moved, knob


def test_one_rate_is_a_slice_of_the_bank(right):
    _, bank, _ = ask(right, bank=True, learning_rate=0.05)
    answer, single, _ = ask(right, bank=False, learning_rate=0.05)
    np.testing.assert_array_equal(bank[:, answer["rates"]], single)


def test_wrong_functions_say_so_in_their_lanes(wrong):
    answer, paths, ghosts = ask(wrong, bank=False)
    returned, traced, raised, shared, biased, unwritten, unknown = words(answer)
    assert returned.startswith("It returned a dict with the keys x, y, not the pair (params, state)")
    assert traced == "follows the library, oscillates"
    assert raised.startswith("TypeError: unsupported operand")
    assert "(in raising: return params - learning_rate * gradients, velocity)" in raised
    assert "jax.tree.map" in raised
    assert shared.startswith("departs from the library at step 1")
    # Its first step is too long by sqrt(1000)/10.
    assert biased.startswith("departs from the library at step 1")
    assert unwritten == "Not written yet."
    assert 'does not know "lion"' in unknown
    assert [row[0]["waiting"] for row in answer["finishes"]].index(True) == 5
    # Where the student's own path is missing the library's shows the way.
    assert np.isnan(paths[5]).all()
    assert np.isfinite(ghosts[answer["ghosts"].index(5)]).all()


def test_a_function_that_cannot_be_traced_is_called_step_by_step(right):
    widget = OptimizerRace({"momentum": untraceable, "nesterov": untraceable})
    assert "Concretization" in widget.race.lanes[0].eager
    answer, paths, _ = ask(widget, bank=False)
    _, wanted, _ = ask(right, bank=False)
    # The same arithmetic, but compiled steps may fuse a multiplication with an addition.
    np.testing.assert_allclose(paths[0], wanted[1], rtol=1e-3, atol=1e-4)
    assert [row[0]["departs"] for row in answer["finishes"]] == [None, 1]


def test_what_is_raised_on_the_way_is_shown():
    def tiring(params, gradients, state, learning_rate):
        if learning_rate != 0.1 and float(params["x"]) > -3:
            raise RuntimeError("too far")
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients), state

    widget = OptimizerRace({"gradient descent": tiring})
    (said,) = words(ask(widget, bank=False, learning_rate=0.5)[0])
    assert said == 'RuntimeError: too far (in tiring: raise RuntimeError("too far"))'


def test_the_digits_surface_is_the_digits_loss():
    """The spline, between its samples, against the real loss and its gradient."""
    left, right, bottom, top = SURFACES["digits"].window
    points = np.random.default_rng(0).uniform((left, bottom), (right, top), (40, 2)).astype(np.float32)
    ground, real_height_and_slope = terrain("digits", 1, 0), jax.jit(jax.value_and_grad(DigitsSlice(0)))
    heights, slopes = jax.vmap(height_and_slope, in_axes=(None, 0))(ground, points)
    wanted = [real_height_and_slope(jnp.asarray(point)) for point in points]
    # A cubic spline errs with the fourth power of the cell, here 0.13 x 0.1; measured: 1.3e-4 and 3e-3.
    np.testing.assert_allclose(heights, [height for height, _ in wanted], rtol=1e-3)
    np.testing.assert_allclose(slopes, np.stack([slope for _, slope in wanted]), rtol=0, atol=2e-2)


def test_beyond_its_samples_the_digits_surface_goes_on():
    ground = terrain("digits", 1, 0)
    near, slope = height_and_slope(ground, jnp.array([-2.27, 0.3]))
    far, _ = height_and_slope(ground, jnp.array([-12.27, 0.3]))
    np.testing.assert_allclose(far, near - 10 * slope[0], rtol=0.02)  # the last cell is curved a little


def test_contours_enclose_what_is_lower():
    """The ellipse of a quadratic at one level: every point of it has the same loss."""
    shape = contours("quadratic", 5.0, 0)
    matrix = Quadratic.with_condition(5, angle=TILT).matrix
    (ring,) = shape.regions[1]
    heights = 0.5 * np.einsum("ki,ij,kj->k", ring, matrix, ring)
    np.testing.assert_allclose(heights, heights.mean(), rtol=0.05)  # chords of a grid of 0.1 x 0.075
    assert shape.lowest == pytest.approx(0, abs=1e-6)


class TestVerdicts:
    STEP = np.arange(STEPS + 1)
    STILL = np.zeros(STEPS + 1)

    def path(self, x, y=0.0):
        return np.stack(np.broadcast_arrays(x, y, np.abs(x)), axis=1)

    def verdict(self, path, library=None, apart=STILL):
        return judge(path, path if library is None else library, apart, QUADRATIC, floor=0.0)

    def test_arrives_when_one_percent_is_left(self):
        assert self.verdict(self.path(2.0 * 0.5**self.STEP)).arrives == 7  # 1/128

    def test_a_damped_swing_oscillates_and_a_tremor_does_not(self):
        assert self.verdict(self.path(2.0 * (-0.9) ** self.STEP)).badges == ["follows the library", "oscillates"]
        assert self.verdict(self.path(2.0 * 0.9**self.STEP + 0.01 * (-1.0) ** self.STEP)).badges == [
            "follows the library"
        ]

    def test_growth_out_of_the_window_diverges_and_escape_downhill_does_not(self):
        assert self.verdict(self.path(1.1**self.STEP)).badges == ["follows the library", "diverged"]
        downhill = self.path(1.1**self.STEP)
        downhill[:, 2] *= -1
        assert self.verdict(downhill).badges == ["follows the library"]

    def test_infinity_diverges(self):
        with np.errstate(over="ignore"):
            assert self.verdict(self.path((1e10 ** self.STEP.astype(np.float32)).astype(np.float32))).diverged

    def test_departs_at_the_first_step_that_leads_elsewhere(self):
        library = self.path(2.0 * 0.9**self.STEP)
        steps = np.append(0, np.abs(np.diff(library[:, 0])))
        assert self.verdict(library, apart=np.where(self.STEP < 17, 5e-4, 2e-3) * steps).badges == [
            "departs from the library at step 17"
        ]

    def test_the_last_digits_of_the_parameters_are_rounding(self):
        library = self.path(2.0 + 1e-7 * 0.9**self.STEP)
        assert self.verdict(library, apart=np.full(STEPS + 1, 1e-6)).departs is None
        assert self.verdict(library, apart=np.full(STEPS + 1, 1e-5)).departs == 0

    def test_what_is_no_number_departs_while_the_library_goes_on(self):
        library = self.path(2.0 * 0.9**self.STEP)
        apart = np.where(self.STEP < 30, 0, np.nan)
        assert self.verdict(library, apart=apart).departs == 30
        library[20:] = np.inf
        assert self.verdict(library, apart=apart).departs is None


def test_the_still_picture_has_a_label_a_line_for_each_lane_and_a_table(wrong):
    data, _ = wrong._repr_mimebundle_()
    html, text = data["text/html"], data["text/plain"]
    assert 'role="img" aria-label="Optimizer race. Surface: Quadratic."' in html
    assert "Not written yet." in html
    assert "adam: loss" in text
    assert "departs from the library at step 1" in text
    # A notebook with its outputs stays small enough to hand in.
    assert len(html) < 60_000


def test_before_anything_is_written_the_library_shows_the_way():
    widget = OptimizerRace({"adam": WRONG["adamw"]})
    answer, paths, ghosts = ask(widget, bank=False)
    assert words(answer) == ["Not written yet."]
    assert np.isnan(paths).all()
    assert ghosts[0, 0, -1, 2] < ghosts[0, 0, 0, 2]
    assert "Not written yet." in widget.picture()[1]


def test_a_state_that_was_copied_starts_there():
    widget = OptimizerRace(
        {}, surface="digits", seed=1, start=(0.5, 0.25), learning_rate=0.05, decay=0.5, b1=0.4, b2=0.9
    )
    assert asdict(widget.setting) == widget.config["setting"]
    assert widget.config["setting"] == {
        "surface": "digits", "condition": 20.0, "seed": 1, "start": (0.5, 0.25),
        "learning_rate": 0.05, "decay": 0.5, "b1": 0.4, "b2": 0.9,
    }  # fmt: skip


def test_bad_settings_name_the_fix():
    with pytest.raises(ValueError, match="surface='plane' is not one of quadratic, rosenbrock, saddle, digits"):
        OptimizerRace({}, surface="plane")
    with pytest.raises(ValueError, match="learning_rate=0 is not positive"):
        OptimizerRace({}, learning_rate=0)
