"""The behaviour of a network of two inputs, by the student's own function: decision, hidden units and losses."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.behaviour import picture
from gradlab.widgets.behaviour.network import MAP, SMALL, Forward, Network, Teach, default_loss, has_layers
from gradlab.widgets.behaviour.points import DATA, WINDOW, Points, painted, sample

HERE = Path(__file__).parent
LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
STEPS_A_QUESTION = 10
MOST_POINTS = 400
ERASER = 0.15


@dataclass(frozen=True)
class Setting:
    """Where the widget stands at first, as "copy state" writes it."""

    data: str
    seed: int
    learning_rate: float
    painted: tuple[tuple[float, float, int], ...]


class Behaviour(Widget):
    """A network of two inputs and two classes, over the plane and in training.

    `forward(params, x)` gives logits of shape (n, 2) for `x` of shape (n, 2); `params` is any pytree. Where it is a
    list of layers with `weight` and `bias`, as in lab 02, the hidden units are shown and their weights can be edited;
    for other networks `hidden(params, x)` may give a list of arrays (n, units), one for each hidden layer.
    `loss(logits, labels)` is what training minimises, the cross-entropy if it is not given. Training is gradient
    descent with momentum, or `teach(params, x, y, steps, learning_rate)`, which returns the parameters afterwards.

    A function that is not written yet, raises, or returns the wrong thing says so in the widget.

    The keywords are where it stands at first, as "copy state" writes them: `data` (moons, circles or checkers), the
    `seed` of its points, the `learning_rate` (the slider's nearest stop is taken) and the points `painted`, each
    (x, y, class). Raises ValueError for data that there is not.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        forward: Forward,
        params: Any,
        *,
        loss: Callable[[Any, Any], Any] | None = None,
        hidden: Callable[[Any, Any], list] | None = None,
        teach: Teach | None = None,
        data: str = "moons",
        seed: int = 0,
        learning_rate: float = 0.1,
        painted: Sequence[tuple[float, float, int]] = (),
    ) -> None:
        if data not in DATA:
            raise ValueError(f"data={data!r}: choose one of {', '.join(DATA)}")
        self.setting = Setting(data, int(seed), float(learning_rate), tuple((x, y, int(c)) for x, y, c in painted))
        nothing = Points(np.zeros((0, 2), np.float32), np.zeros(0, np.int32))
        self.network = Network(forward, params, loss or default_loss, nothing, nothing, hidden, teach)
        self._begin(self.setting)
        super().__init__(
            label=f"Behaviour of a network on {DATA[data]}.",
            config={
                "window": WINDOW,
                "map": MAP,
                "small": SMALL,
                "data": [{"value": value, "text": text} for value, text in DATA.items()],
                "learningRates": LEARNING_RATES,
                "steps": STEPS_A_QUESTION,
                "editable": has_layers(params),
                "setting": asdict(self.setting),
            },
        )

    def _begin(self, setting: Setting) -> None:
        """The first parameters, on the setting's points."""
        self.painted = list(setting.painted)
        self.given, self.network.test = sample(setting.data, setting.seed)
        self.network.train = self.given.joined(painted(self.painted))
        self.network.reset()

    def answer_look(self, question: dict[str, Any]) -> Answer:
        """How the network stands, without changing it."""
        return self._shown(question)

    def answer_train(self, question: dict[str, Any]) -> Answer:
        """The network after some steps of training."""
        return self._shown(question, lambda: self.network.learn(question["steps"], question["learning_rate"]))

    def answer_edit(self, question: dict[str, Any]) -> Answer:
        """The network with one weight set to a value."""
        layer, index, source = (question[name] for name in ("layer", "index", "source"))
        return self._shown(question, lambda: self.network.edit(layer, index, source, question["value"]))

    def answer_paint(self, question: dict[str, Any]) -> Answer:
        """The network with more training points (x, y, class); one of class -1 takes painted points near it away."""
        for x, y, label in question["points"]:
            if label < 0:
                self.painted = [p for p in self.painted if (p[0] - x) ** 2 + (p[1] - y) ** 2 > ERASER**2]
            elif len(self.painted) < MOST_POINTS:
                self.painted.append((float(x), float(y), int(label)))
        self.network.train = self.given.joined(painted(self.painted))
        return self._shown(question)

    def answer_begin(self, question: dict[str, Any]) -> Answer:
        """The network at its beginning; on other points, where the question names them."""
        other = {name: question[name] for name in ("data", "seed") if name in question}
        self._begin(replace(self.setting, painted=(), **other) if other else self.setting)
        return self._shown(question)

    def _shown(self, question: dict[str, Any], task: Callable[[], None] = lambda: None) -> Answer:
        """What the view draws after a task.

        The buffers hold the margin on the large grid, the enlarged unit on it if there is one, and each hidden layer on
        the small grid, all float32.
        """
        try:
            task()
            look = self.network.look()
            enlarged = question.get("enlarged")
            unit = [] if enlarged is None else [self.network.unit(*enlarged)]
        except Exception as error:  # noqa: BLE001 - what the student's functions raise is an answer
            return {"problem": problem(error), "waiting": isinstance(error, NotImplementedError)}, []
        network = self.network
        answer = {
            "problem": None,
            "step": network.step,
            "history": network.history[-400:],
            "scores": look.scores,
            "train": np.column_stack([network.train.x, network.train.y]).round(3).tolist(),
            "test": np.column_stack([network.test.x, network.test.y]).round(3).tolist(),
            "painted": [list(p) for p in self.painted],
            "widths": [len(layer) for layer in look.units],
            "layers": [{k: np.asarray(v).tolist() for k, v in p.items()} for p in network.params]
            if has_layers(network.params)
            else [],
            "enlarged": enlarged,
        }
        return answer, [np.asarray(a, np.float32).tobytes() for a in (look.margin, *unit, *look.units)]

    def picture(self) -> tuple[str, str]:
        try:
            look = self.network.look()
        except Exception as error:  # noqa: BLE001 - as above
            return f"<p>{escape(problem(error))}</p>", problem(error)
        rows = [(name, f"{score['loss']:.3f}", f"{score['accuracy']:.0%}") for name, score in look.scores.items()]
        head = "<tr><th scope='col'>points</th><th scope='col'>loss</th><th scope='col'>accuracy</th></tr>"
        body = "".join(f"<tr><th scope='row'>{n}</th><td>{loss}</td><td>{part}</td></tr>" for n, loss, part in rows)
        text = "\n".join(f"{n}: loss {loss}, accuracy {part}" for n, loss, part in rows)
        drawing = picture.still(look.margin, self.network.train, self.label)
        return f"{drawing}<table><thead>{head}</thead><tbody>{body}</tbody></table>", text


def problem(error: Exception) -> str:
    """An error of the student's function in a sentence."""
    if isinstance(error, NotImplementedError):
        return "A function that this network needs is not written yet."
    return f"Your code raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
