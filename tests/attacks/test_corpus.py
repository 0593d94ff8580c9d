"""Hostile and broken submissions, each graded by the real engine in one batch."""

import importlib.util
import json
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import pytest

import gradlab_grading
from grading_course import Course
from toy_assignment import CONFIG, write_source

CORPUS = sorted((Path(__file__).parent / "corpus").glob(os.environ.get("ATTACK", "*") + ".py"))
ESCAPED = "ESCAPED"
pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.long, pytest.mark.timeout(280)]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"attack_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Other tests grade at the same time; what belongs to this batch has this in its environment.
MARK = f"batch of {os.getpid()}"


@dataclass
class Batch:
    course: Course
    outcomes: dict
    before: set[int]
    connections: list


def hand_in(course: Course, name: str, attack: ModuleType, places: dict[str, str]) -> None:
    notebook = course.notebook("toy", "toy")
    for cell in notebook["cells"]:
        source = getattr(attack, cell["metadata"].get("nbgrader", {}).get("grade_id", "").upper(), None)
        if source is not None:
            for word, value in places.items():
                source = source.replace("{" + word + "}", value)
            cell["source"] = source.strip("\n")
    if hasattr(attack, "edit"):
        attack.edit(notebook)
    data = json.dumps(notebook).encode()
    path = course.root / "submitted" / name / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True)
    getattr(attack, "write", Path.write_bytes)(path, data)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    root = tmp_path_factory.mktemp("attacked")
    course = Course(root, CONFIG)
    write_source(root)
    course.release("toy")
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0gradlab-{os.getpid()}")
        abstract.listen()
        for listener in (server, abstract):
            threading.Thread(target=_accept, args=(listener, connections), daemon=True).start()
        places = {
            "ROOT": str(root),
            "STAFF": str(Path(gradlab_grading.__file__).parent),
            "HOME": str(Path.home()),
            "PORT": str(server.getsockname()[1]),
            "ABSTRACT": f"gradlab-{os.getpid()}",
        }
        for path in CORPUS:
            hand_in(course, path.stem, load(path), places)
        before = {process.pid for process in psutil.process_iter()}
        os.environ["GRADER_SECRET"] = "the exam of next week"
        try:
            outcomes = course.grade("toy", workers=3, environment={"BATCH": MARK})
        finally:
            del os.environ["GRADER_SECRET"]
    return Batch(course, outcomes, before, connections)


def _accept(listener, connections):
    while True:
        try:
            connections.append(listener.accept())
        except OSError:
            return


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_attack(batch, path):
    attack = load(path)
    outcome = batch.outcomes[path.stem]
    assert outcome.status == "graded", outcome.notes
    scores = batch.course.scores(path.stem, "toy")
    graded = batch.course.graded(path.stem, "toy", "toy")
    outputs = json.dumps([cell.outputs for cell in graded.cells if cell.cell_type == "code"])
    earned = {name: scores[f"test-{name}"] for name in attack.EARN}
    assert earned == attack.EARN, outputs[-3000:]
    assert ESCAPED not in outputs
    assert len(outputs) < 2**21
    said = " ".join(outcome.notes)
    assert getattr(attack, "SAYS", "") in said
    if hasattr(attack, "SAYS") and (hasattr(attack, "edit") or hasattr(attack, "write")):
        assert "Notes from grading" in graded.cells[0].source
    assert getattr(attack, "SHOWS", "") in outputs
    assert not [word for word in getattr(attack, "FORBIDS", ()) if word in outputs]
    folder = batch.course.root / "autograded" / path.stem / "toy"
    assert not [name for name in getattr(attack, "LEAVES_NO_FILE", ()) if os.path.lexists(folder / name)]


def test_the_corpus_is_large_and_explained():
    assert len(CORPUS) >= 45
    for path in CORPUS:
        text = load(path).__doc__
        assert "Attempts:" in text, path.name
        assert "Must:" in text, path.name


def test_nothing_survives_the_batch(batch):
    """Of the processes that are new, none is a sandbox's of this batch, or has been started by a submission."""
    new = [p for p in psutil.process_iter(["cmdline", "environ"]) if p.pid not in batch.before]
    ours = [p for p in new if (p.info["environ"] or {}).get("BATCH") == MARK]
    assert not [p for p in new if "sleep 3607" in " ".join(p.info["cmdline"] or [])] + ours
    mounts = Path("/proc/self/mounts").read_text()
    assert str(batch.course.root) not in mounts
    assert not (batch.course.root / "autograded" / ".grading").exists()


def test_nobody_called_home(batch):
    assert batch.connections == []


def test_kernels_draw_apart(batch):
    drawn = set()
    for name in ("draws_alike", "draws_alike_too"):
        cells = batch.course.graded(name, "toy", "toy").cells
        drawn |= {
            o.text for c in cells if c.cell_type == "code" for o in c.outputs if o.get("text", "").startswith("drew")
        }
    assert len(drawn) == 2


def test_hidden_tests_stay_out_of_the_feedback(batch):
    """The wrong answers' pages name the exercise, and quote neither a hidden test nor a value of one."""
    for name in ("lying_float", "remembers_questions"):
        page = batch.course.feedback("toy", name)
        assert "double" in page
        assert "secret" not in page
        assert "HIDDEN" not in page


def test_the_gradebook_is_untouched_by_submissions(batch):
    for name in batch.outcomes:
        assert all(score is None or 0 <= score <= 3 for score in batch.course.scores(name, "toy").values())
