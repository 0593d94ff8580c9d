"""The labs of the course, in order, and where each lies on disk."""

from dataclasses import dataclass
from pathlib import Path

#: For each role, the numbers of its labs in the order of study.
TRACKS: dict[str, tuple[int, ...]] = {
    "algorithm engineer": (2, 3, 4, 5, 6, 7, 8, 14),
    "data engineer": (1, 13, 6, 11, 14),
    "AI engineer": (1, 5, 8, 9, 10, 11, 12, 14),
}


class UnknownLab(LookupError):
    """No lab goes by that name; the message lists those that do."""


@dataclass(frozen=True)
class Lab:
    """One graded lab."""

    number: int
    slug: str
    title: str
    summary: str

    @property
    def name(self) -> str:
        """The folder's name and nbgrader's assignment, for example `04-optimizers`."""
        return f"{self.number:02d}-{self.slug}"

    @property
    def module(self) -> str:
        """The name of its notebook, its source and its module of checks: `data_parallel`."""
        return self.slug.replace("-", "_")

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles whose track holds this lab."""
        return tuple(role for role, numbers in TRACKS.items() if self.number in numbers)

    @property
    def notebook(self) -> Path:
        """The student's notebook, `labs/NN-name/name.ipynb` under the course's root."""
        return course_root() / "labs" / self.name / f"{self.module}.ipynb"

    @property
    def chapter(self) -> Path:
        """The chapter to read first, `course/chapters/NN-name.md` under the course's root."""
        return course_root() / "course" / "chapters" / f"{self.name}.md"

    @property
    def available(self) -> bool:
        """Whether the lab's notebook is there to be opened."""
        return self.notebook.is_file()


LABS: tuple[Lab, ...] = (
    Lab(1, "preprocessing", "Preprocessing", "Clean, split, scale and batch without leaking a label."),
    Lab(2, "forward", "The forward pass", "From an affine layer to causal attention."),
    Lab(3, "backward", "The backward pass", "Reverse-mode differentiation, by hand."),
    Lab(4, "optimizers", "Optimizers", "From gradient descent to AdamW, written by you and raced on real losses."),
    Lab(5, "training", "Training", "A training loop that resumes bit for bit."),
    Lab(6, "data-parallel", "Data parallelism", "Eight devices, one step, the same numbers."),
    Lab(7, "sharding", "Sharding large models", "Tensor parallelism, FSDP, and what they cost."),
    Lab(8, "efficiency", "Efficiency", "Measure, compile once, move fewer bytes."),
    Lab(9, "serving", "Serving", "From a forward pass to a service under load."),
    Lab(10, "interpretability", "Interpretability", "What the model looked at, and how to be sure."),
    Lab(11, "security", "Security and privacy", "Encrypt, audit, and train in private."),
    Lab(12, "frameworks", "Frameworks", "One model in JAX, PyTorch and TensorFlow."),
    Lab(13, "big-data", "Big data", "MapReduce by hand, then on Hadoop and Spark."),
    Lab(14, "capstone", "Capstone", "Train, scale, serve, explain and safeguard."),
)


def course_root() -> Path:
    """The folder that holds `labs/`: the nearest one above the working directory, else the package's."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / "labs").glob("[0-9][0-9]-*")):
            return folder
    return Path(__file__).resolve().parents[2]


def find_lab(name: str) -> Lab:
    """The lab that a person means by `4`, `04`, `optimizers`, `04-optimizers`, or its path.

    Raises:
        UnknownLab: no lab goes by that name.
    """
    key = Path(name).stem if name.endswith((".ipynb", ".py")) else Path(name).name
    for lab in LABS:
        if key in (lab.name, lab.slug, lab.module, f"{lab.number:02d}", str(lab.number)):
            return lab
    known = "\n".join(f"  {lab.name}" for lab in LABS)
    raise UnknownLab(f"There is no lab {name!r}. The labs are:\n{known}")


def available_labs() -> tuple[Lab, ...]:
    """The labs whose notebook is there, in order."""
    return tuple(lab for lab in LABS if lab.available)
