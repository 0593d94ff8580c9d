"""One case of a check: what is called, what must come back, and what came back."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradlab.checks.compare import difference
from gradlab.checks.show import show, show_call
from gradlab.seam.handle import StudentError, recorded_calls
from gradlab.seam.plain import NotPlain

Judge = Callable[[Any], str | None]
# What JAX raises where a traced number is asked for its value: by int(), by NumPy, by an if, or as an index.
VALUE_WANTED = frozenset(
    {
        "ConcretizationTypeError",
        "NonConcreteBooleanIndexError",
        "TracerArrayConversionError",
        "TracerBoolConversionError",
        "TracerIntegerConversionError",
    }
)
# Complaints of JAX in which the rest of the text holds names that the student gave, or shapes.
COMPLAINTS = (
    "unbound axis name",
    "out_specs which require replication",
    "axis sizes that are not evenly divisible",
    "implies that array axis",
)
_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True)
class Case:
    """One question to an implementation.

    `run` gets the implementations and returns plain data, which must agree with `want` to `rtol` and `atol`; or, where
    many answers are right, `judge` says in a sentence what is wrong with the answer, and None if nothing is, and
    `want` says in words what is asked for. `because` tells the student what the case is about. A `trivial` case is one
    that doing nothing passes: it earns points only beside a case that is not.
    """

    name: str
    run: Callable[..., Any]
    want: Any = None
    rtol: float = 1e-5
    atol: float = 1e-6
    judge: Judge | None = None
    because: str = ""
    weight: float = 1.0
    trivial: bool = False
    hidden: bool = False

    def ask(self, implementations: tuple) -> "Outcome":
        """Runs the case on implementations (handles or plain values); never raises for what they do."""
        with recorded_calls() as calls:
            try:
                got = self.run(*implementations)
                problem = self.problem(got)
            except StudentError as error:
                got, problem = error, f"your code raised {error}"
            except NotPlain as error:
                got, problem = error, f"a result is not plain data: {error}"
            except Exception as error:  # noqa: BLE001 - what came back may break any computation of the check
                got = StudentError(type(error).__name__, str(error).split("\n")[0])
                problem = f"the check cannot use what your code returned: {got}"
        return Outcome(self, got, problem, show_call(*calls[0]) if calls else "")

    def problem(self, got: Any) -> str | None:
        """What is wrong with an answer, or None."""
        if self.judge is not None:
            return self.judge(got)
        return difference(got, self.want, rtol=self.rtol, atol=self.atol)

    def same(self, one: Any, other: Any) -> bool:
        """Whether two answers are the same answer: that is how a mistake is recognised."""
        if isinstance(one, StudentError) and isinstance(other, StudentError):
            return _same_complaint(one, other)
        if isinstance(one, StudentError) or isinstance(other, StudentError):
            return False
        return not isinstance(one, NotPlain) and difference(one, other, rtol=self.rtol, atol=self.atol) is None


def _same_complaint(one: StudentError, other: StudentError) -> bool:
    """Whether two errors say the same, whatever names, shapes and places in memory their texts hold."""
    kinds, texts = {one.kind, other.kind}, [_ADDRESS.sub("", str(error)) for error in (one, other)]
    # The text of such an error holds the line that raised it, or the name of a folder.
    if texts[0] == texts[1] or kinds <= VALUE_WANTED or kinds == {"FileNotFoundError"}:
        return True
    return len(kinds) == 1 and any(all(words in text for text in texts) for words in COMPLAINTS)


@dataclass(frozen=True)
class Outcome:
    """What an implementation answered to a case: `problem` is None where the answer is right."""

    case: Case
    got: Any
    problem: str | None
    called: str

    @property
    def passed(self) -> bool:
        return self.problem is None

    @property
    def unwritten(self) -> bool:
        """Whether the function is still the stub."""
        return isinstance(self.got, StudentError) and self.got.kind == "NotImplementedError"

    def shown(self) -> tuple[str, str]:
        """What came back and what was wanted, short, as text."""
        wanted = self.case.want if isinstance(self.case.want, str) else show(self.case.want)
        if isinstance(self.got, StudentError):
            return f"{self.got}\n{self.got.where}".strip(), wanted
        return show(self.got), wanted
