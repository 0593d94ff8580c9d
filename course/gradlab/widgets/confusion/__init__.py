"""The confusion matrix of lab 05, with a gallery: what was taken for what, and how it looks."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gradlab.widgets.base import Answer, Widget, bundle

HERE = Path(__file__).parent
GALLERY = 24


class Confusion(Widget):
    """How often each class was taken for each, and the images behind every number.

    Args:
        images: grey values, shape (n, height, width); the largest is drawn darkest.
        labels: the true class of each, from 0 to c - 1.
        logits: the model's logits, shape (n, c).

    Raises ValueError where the three do not belong together.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self, images: Float[np.ndarray, "n h w"], labels: Int[np.ndarray, " n"], logits: Float[np.ndarray, "n c"]
    ) -> None:
        images, labels, logits = np.asarray(images), np.asarray(labels), np.asarray(logits, np.float64)
        if images.ndim != 3 or logits.ndim != 2 or not len(images) == len(labels) == len(logits):
            shapes = f"images {images.shape}, labels {labels.shape}, logits {logits.shape}"
            raise ValueError(f"Confusion takes images (n, h, w), labels (n,) and logits (n, c), got {shapes}")
        self._images, self._labels = images, labels
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        self._probability = shifted / shifted.sum(axis=1, keepdims=True)
        self._answers = logits.argmax(axis=1)
        classes = logits.shape[1]
        self.counts = np.zeros((classes, classes), np.int64)
        np.add.at(self.counts, (labels, self._answers), 1)
        wrong = int((self._answers != labels).sum())
        config = {"counts": self.counts.tolist(), "wrong": wrong, "total": len(labels), "gallery": GALLERY}
        super().__init__(label=f"Confusion matrix: {wrong} of {len(labels)} wrong.", config=config)

    def answer_gallery(self, question: dict[str, Any]) -> Answer:
        """The images of one cell, or of all mistakes where `truth` is None, the surest answers first.

        The buffer holds their grey values from 0 to 255, shape (images, height, width).
        """
        truth, answer = question["truth"], question["answer"]
        if truth is None:
            chosen = np.flatnonzero(self._answers != self._labels)
        else:
            chosen = np.flatnonzero((self._labels == truth) & (self._answers == answer))
        sure = self._probability[chosen, self._answers[chosen]]
        chosen = chosen[np.argsort(-sure, kind="stable")][:GALLERY]
        top = float(self._images.max()) or 1.0
        grey = np.clip(self._images[chosen] / top * 255, 0, 255).astype(np.uint8)
        found = [
            {
                "row": int(row),
                "truth": int(self._labels[row]),
                "answer": int(self._answers[row]),
                "sure": round(float(self._probability[row, self._answers[row]]), 3),
            }
            for row in chosen
        ]
        return {"images": found, "height": grey.shape[1], "width": grey.shape[2]}, [grey.tobytes()]

    def picture(self) -> tuple[str, str]:
        classes = range(len(self.counts))
        head = "".join(f"<th scope='col'>{k}</th>" for k in classes)
        rows = "".join(f"<tr><th scope='row'>{k}</th>{_cells(self.counts[k])}</tr>" for k in classes)
        pairs = [(int(self.counts[i, j]), i, j) for i in classes for j in classes if i != j and self.counts[i, j]]
        worst = ", ".join(f"{i} as {j}: {n}" for n, i, j in sorted(pairs, reverse=True)[:5])
        table = f"<table><thead><tr><th>true \\ answer</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return f"{table}<p>{escape(worst)}</p>", f"most frequent mistakes: {worst or 'none'}"


def _cells(row: Int[np.ndarray, " c"]) -> str:
    return "".join(f"<td>{count or ''}</td>" for count in row)
