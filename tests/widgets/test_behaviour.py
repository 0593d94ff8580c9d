"""The model of the behaviour widget, without a browser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from gradlab.widgets import Behaviour
from widgets import behaviour_functions as f

pytestmark = pytest.mark.allow_rank_promotion("the networks are what students write")


@pytest.fixture(scope="module")
def network():
    return Behaviour(f.right, f.PARAMS)


@pytest.fixture(autouse=True)
def _from_the_beginning(request):
    if "network" in request.fixturenames:
        request.getfixturevalue("network").answer_begin({})


def maps(buffers):
    return [np.frombuffer(buffer, np.float32) for buffer in buffers]


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # one iteration makes a model to be filled
def test_the_map_is_what_the_function_computes(network):
    """Against scikit-learn's perceptron with the same weights."""
    answer, buffers = network.answer_look({"enlarged": [1, 2]})
    model = MLPRegressor(hidden_layer_sizes=(4, 3), max_iter=1, solver="lbfgs").fit(np.eye(2), np.eye(2))
    model.coefs_ = [np.asarray(layer["weight"]) for layer in f.PARAMS]
    model.intercepts_ = [np.asarray(layer["bias"]) for layer in f.PARAMS]
    centres = -1.5 + 3 * (np.arange(100) + 0.5) / 100
    # The first row of the map is the top of the window.
    logits = model.predict(np.stack([np.tile(centres, 100), np.repeat(centres[::-1], 100)], axis=1))
    margin, unit, first, second = maps(buffers)
    np.testing.assert_allclose(margin, logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-4)
    assert answer["widths"] == [4, 3]
    assert (first.size, second.size, unit.size) == (4 * 40**2, 3 * 40**2, 100**2)


def test_training_lowers_the_loss_and_beginning_takes_it_back(network):
    before, _ = network.answer_look({})
    after, _ = network.answer_train({"steps": 30, "learning_rate": 0.1})
    assert after["scores"]["train"]["loss"] < 0.7 * before["scores"]["train"]["loss"]
    assert [entry[0] for entry in after["history"]] == [0, 30]
    again, _ = network.answer_begin({})
    assert again["scores"] == before["scores"]
    assert again["step"] == 0


def test_an_edit_changes_one_number(network):
    before, _ = network.answer_look({})
    after, _ = network.answer_edit({"layer": 1, "index": 2, "source": 3, "value": 1.25})
    assert after["layers"][1]["weight"][3][2] == 1.25
    after["layers"][1]["weight"][3][2] = before["layers"][1]["weight"][3][2]
    assert after["layers"] == before["layers"]
    bias, _ = network.answer_edit({"layer": 0, "index": 1, "source": -1, "value": -2})
    assert bias["layers"][0]["bias"][1] == -2


def test_painted_points_train_and_can_be_erased(network):
    given = len(network.answer_look({})[0]["train"])
    painted, _ = network.answer_paint({"points": [[0, 0, 1], [0.05, 0, 0], [1, 1, 0]]})
    assert len(painted["train"]) == given + 3
    assert painted["train"][-1] == [1, 1, 0]
    erased, _ = network.answer_paint({"points": [[0, 0, -1]]})
    assert erased["painted"] == [[1.0, 1.0, 0]]
    assert network.answer_begin({})[0]["painted"] == []


def test_other_points_are_other_points_and_a_seed_repeats_them(network):
    one, two, again = (
        network.answer_begin({"data": data, "seed": seed})[0]["train"]
        for data, seed in (("circles", 1), ("circles", 2), ("circles", 1))
    )
    assert one == again
    assert one != two
    assert np.abs(np.array(one)).max() < 1.5


def test_the_students_own_loss_is_minimised():
    widget = Behaviour(f.right, f.PARAMS, loss=lambda logits, labels: 7 + 0 * jnp.sum(logits))
    answer, _ = widget.answer_train({"steps": 3, "learning_rate": 0.1})
    assert answer["scores"]["train"]["loss"] == 7
    assert answer["layers"] == widget.answer_begin({})[0]["layers"]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (f.unwritten, "A function that this network needs is not written yet."),
        (f.column, "for 10000 points your network returned shape (10000, 1)"),
        (lambda params, x: x @ params, "Your code raised TypeError"),
    ],
)
def test_a_wrong_function_is_an_answer(function, said):
    widget = Behaviour(function, f.PARAMS)
    answer, buffers = widget.answer_look({})
    assert said in answer["problem"]
    assert buffers == []
    assert said.split(" (")[0] in widget.picture()[1]


def test_a_network_that_is_no_list_of_layers_has_a_map_and_trains():
    params = {"slope": jnp.ones((2, 2)), "shift": jnp.zeros(2)}
    widget = Behaviour(lambda params, x: x @ params["slope"] + params["shift"], params)
    answer, buffers = widget.answer_train({"steps": 5, "learning_rate": 0.1})
    assert (answer["widths"], answer["layers"], len(buffers)) == ([], [], 1)
    assert not widget.config["editable"]
    shown = Behaviour(lambda p, x: x @ p["slope"], params, hidden=lambda p, x: [jnp.tanh(x @ p["slope"])])
    assert shown.answer_look({})[0]["widths"] == [2]


def test_the_picture_says_what_it_shows(network):
    html, text = network.picture()
    assert html.count("<circle") + html.count('<rect x="-3.5"') == 80
    assert "train: loss" in text


def test_unknown_data_is_refused():
    with pytest.raises(ValueError, match="choose one of moons, circles, checkers"):
        Behaviour(f.right, f.PARAMS, data="spiral")


def test_a_float_network_gives_no_warning_about_copies():
    """Parameters that are NumPy arrays work as well."""
    params = jax.tree.map(np.asarray, f.PARAMS)
    answer, _ = Behaviour(f.right, params).answer_edit({"layer": 0, "index": 0, "source": 0, "value": 1})
    assert answer["problem"] is None
