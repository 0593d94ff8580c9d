"""Small grey images beside each other, as one picture with a description."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float

_PIXEL, _GAP = 8, 10


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images to be shown in a row; `description` says what they are, to those too who cannot see them."""

    images: Float[np.ndarray, "n h w"]
    description: str

    def __repr__(self) -> str:
        return f"{len(self.images)} images: {self.description}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._picture()}

    def _picture(self) -> str:
        count, height, width = self.images.shape
        step = width * _PIXEL + _GAP
        drawn = "".join(_pixels(image, number * step) for number, image in enumerate(self.images))
        text = escape(self.description)
        return (
            '<figure style="margin:.3em 0;color:var(--jp-ui-font-color1,#212121)">'
            f'<svg role="img" aria-label="{text}" viewBox="0 0 {count * step - _GAP} {height * _PIXEL}"'
            f' width="{count * step - _GAP}" style="max-width:100%" shape-rendering="crispEdges">{drawn}</svg>'
            f"<figcaption>{text}</figcaption></figure>"
        )


def _pixels(image: np.ndarray, left: int) -> str:
    """One image: 0 is black and 1 is white, on every page."""
    height, width = image.shape
    ground = f'<rect x="{left}" width="{width * _PIXEL}" height="{height * _PIXEL}" fill="#000"/>'
    grey = np.clip(255 * image, 0, 255).astype(int)
    return ground + "".join(
        f'<rect x="{left + column * _PIXEL}" y="{row * _PIXEL}" width="{_PIXEL}" height="{_PIXEL}"'
        f' fill="#{grey[row, column]:02x}{grey[row, column]:02x}{grey[row, column]:02x}"/>'
        for row in range(height)
        for column in range(width)
        if grey[row, column]
    )


def show(images: Float[np.ndarray, "n h w"], description: str) -> Gallery:
    """Shows images with values from 0 (black) to 1 (white). Raises ValueError for another shape."""
    array = np.asarray(images, np.float64)
    if array.ndim != 3:
        raise ValueError(f"images must have the shape (n, height, width), got {array.shape}")
    return Gallery(array, description)
