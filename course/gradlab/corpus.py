"""A text corpus that is always at hand: the source code of the standard library of the Python that runs.

It is read at run time, nothing is downloaded. Another version of Python has a slightly different text.
"""

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Int

# Line end, and the printable characters of ASCII; a tab is four spaces, anything else is left out.
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
_CODES = {character: code for code, character in enumerate(ALPHABET)}
# Names that sort first are read first: a seed shuffles them, so that one part is not all `a...`.
_SHUFFLE_SEED = 0


@dataclass(frozen=True, eq=False)
class Corpus:
    """Text as codes: `train` and `held_out` come from different files, so nothing is learnt by heart."""

    train: Int[np.ndarray, " n"]
    held_out: Int[np.ndarray, " m"]


def encode(text: str) -> Int[np.ndarray, " n"]:
    """The code of each character of the text, from 0 to `len(ALPHABET) - 1`."""
    return np.array([_CODES[c] for c in text.replace("\t", "    ") if c in _CODES], np.int32)


def decode(codes: Int[np.ndarray, " n"]) -> str:
    """The text of the codes."""
    return "".join(ALPHABET[int(code)] for code in codes)


@cache
def standard_library(characters: int = 1_000_000) -> Corpus:
    """About that many characters to train on, and a tenth as many held out, each of whole files.

    Raises `ValueError` for less than one character, `FileNotFoundError` where this Python comes without its sources.
    """
    if characters < 1:
        raise ValueError(f"characters must be at least 1, not {characters}")
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(folder.glob("*.py"))
    if not files:
        raise FileNotFoundError(
            f"no Python sources in {folder}: install the standard library's sources, or run from conda"
        )
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(files))
    unread = iter([files[i] for i in order])
    held_out = _take(unread, max(characters // 10, 1))
    return Corpus(train=_take(unread, characters), held_out=held_out)


def _take(files: Iterator[Path], characters: int) -> Int[np.ndarray, " n"]:
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < characters and (path := next(files, None)):
        parts.append(encode(path.read_text(encoding="utf-8", errors="ignore")))
    return np.concatenate(parts)
