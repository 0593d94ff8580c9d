"""The engine behind each of its doors: command line, formgrader, another user, no sandbox, other databases."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI

from grading_course import Course
from gradlab_grading.neutral_csv import neutral
from system_packages import PACKAGES
from toy_assignment import CONFIG, write_source

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.filterwarnings("ignore")]
GRADE = [sys.executable, "-c", "import typer; from gradlab_grading.engine_cli import grade; typer.run(grade)"]
LOOK = """
import os
print("SEES", os.path.exists("{root}"), "NAME", os.uname().nodename, "USER", os.getuid())

def double(array):
    return 2 * array
"""


def toy(root: Path, students: int = 1, double: str | None = None, config: str = "", db_url=None) -> Course:
    course = Course(root, CONFIG + config, db_url)
    write_source(root)
    course.release("toy")
    notebook = course.notebook("toy", "toy")
    for cell in notebook["cells"]:
        if double is not None and cell["metadata"].get("nbgrader", {}).get("grade_id") == "double":
            cell["source"] = double.replace("{root}", str(root))
    for number in range(students):
        course.submit(f"student{number}", "toy", "toy", notebook)
    return course


def printed(course: Course, student: str = "student0") -> str:
    cells = course.graded(student, "toy", "toy").cells
    return "".join(o.get("text", "") for c in cells if c.cell_type == "code" for o in c.outputs)


FULL = {"test-mean": 2, "test-double": 3, "written": None}


def test_command_line(tmp_path):
    """A dry run does nothing; a run grades, prints JSON, and leaves a record; a second run has nothing to do."""
    course = toy(tmp_path / "course", students=2)
    command = [*GRADE, "toy", "--course", str(course.root), "--json", "--jobs", "2"]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    assert [it["status"] for it in json.loads(dry.stdout)["toy"]] == ["new", "new"]
    assert not (course.root / "autograded" / "student0").exists()
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)["toy"]
    assert {(it["student"], it["status"], it["score"], it["max_score"]) for it in found} == {
        ("student0", "graded", 5.0, 6.0),
        ("student1", "graded", 5.0, 6.0),
    }
    assert "test cells ran in the checker" in run.stderr
    (record,) = (course.root / "records" / "toy" / "student0").glob("*.json")
    record = json.loads(record.read_text())
    assert len(record["submission_sha256"]) == 64
    assert record["mode"] == "checker"
    assert isinstance(record["seed"], int)
    assert record["limits"]["cell_seconds"] == 6
    assert record["versions"]["nbgrader"]
    cells = record["notebooks"]["toy"]["cells"]
    assert all(cell["ran"] and cell["seconds"] > 0 for cell in cells.values())
    # Test cells too: what their questions cost is the submission's.
    assert all(cell["memory_bytes"] > 10 * 2**20 for cell in cells.values())
    assert record["notebooks"]["toy"]["peak_bytes"] > 10 * 2**20
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {it["status"] for it in json.loads(again.stdout)["toy"]} == {"skipped"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "nobody handed in 'nothing'. Handed in: toy"),
        (["--course", "/nowhere"], "has no nbgrader_config.py"),
        (["toy", "--scheduler", "tcp://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_command_line_says_what_is_wrong(tmp_path, arguments, says):
    course = toy(tmp_path / "course")
    run = subprocess.run([*GRADE, "--course", str(course.root), *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_missing_bubblewrap_names_the_command_that_installs_it(tmp_path):
    course = toy(tmp_path / "course")
    # A PATH with nothing on it: the interpreter is called by its own path.
    run = subprocess.run(
        [*GRADE, "toy", "--course", str(course.root)],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": "/none"},
    )
    assert run.returncode == 2
    assert "apt-get install bubblewrap" in run.stderr
    assert "--unsafe" in run.stderr
    assert not (course.root / "autograded" / "student0").exists()


def test_unsafe_says_what_is_given_up_and_grades(tmp_path):
    course = toy(tmp_path / "course", double=LOOK)
    command = [*GRADE, "toy", "--course", str(course.root), "--unsafe"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PATH": "/none"})
    assert "submitted code runs as you" in " ".join(run.stdout.split())
    assert course.scores("student0", "toy") == FULL
    assert "SEES True" in printed(course)
    # The server lived to the end: it has measured, and heard how the kernel ended.
    record = json.loads(next((course.root / "records" / "toy" / "student0").glob("*.json")).read_text())
    assert record["notebooks"]["toy"]["peak_bytes"] > 10 * 2**20
    assert record["notebooks"]["toy"]["cpu_seconds"] > 0


def test_a_grader_who_is_not_root(tmp_path):
    """As root the grader gives up root for submissions; as another user bubblewrap needs no privilege."""
    course = toy(tmp_path / "course", double=LOOK)
    become = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.getuid() == 0 else []
    command = [*become, *GRADE, "toy", "--course", str(course.root)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert course.scores("student0", "toy") == FULL
    assert "SEES False NAME sandbox USER" in printed(course)
    assert "USER 0" not in printed(course)


def test_formgraders_own_button_is_isolated(tmp_path):
    """The button calls `NbGraderAPI.autograde`, which takes preprocessors from the configuration."""
    course = toy(tmp_path / "course", double=LOOK)
    engine = course.engine()
    api = NbGraderAPI(engine.coursedir, config=engine.config)
    before = Path.cwd()
    try:
        result = api.autograde("toy", "student0")
    finally:
        os.chdir(before)
    assert result["success"], result
    assert course.scores("student0", "toy") == FULL
    assert "SEES False NAME sandbox" in printed(course)


@pytest.mark.needs("postgresql")
def test_postgresql(tmp_path, postgresql):
    """The gradebook on a server, by db_url."""
    course = toy(tmp_path / "course", students=2, db_url=postgresql)
    outcomes = course.grade("toy", workers=2)
    assert {o.status for o in outcomes.values()} == {"graded"}
    assert course.scores("student1", "toy") == FULL
    assert not (course.root / "gradebook.db").exists()


@pytest.fixture
def postgresql():
    """A server of its own, in a temporary folder that its user may enter; gives its address."""
    folder = Path(tempfile.mkdtemp(prefix="gradlab-"))
    candidates = [Path(shutil.which(p) or "/none") for p in PACKAGES["postgresql"].programs if "*" not in p]
    candidates += [f for p in PACKAGES["postgresql"].programs if "*" in p for f in Path("/").glob(p.lstrip("/"))]
    binaries = next(path.resolve().parent for path in candidates if path.exists())
    options = {}
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        options = {"user": "postgres", "group": "postgres", "extra_groups": []}
    data = folder / "data"
    quiet = {"check": True, "capture_output": True, "cwd": "/", **options}
    subprocess.run([binaries / "initdb", "-D", data, "-U", "grader", "--auth=trust", "--no-sync"], **quiet)
    start = f"-k {folder} -c listen_addresses='' -c fsync=off"
    subprocess.run([binaries / "pg_ctl", "-D", data, "-w", "-o", start, "-l", folder / "log", "start"], **quiet)
    try:
        subprocess.run([binaries / "createdb", "-h", folder, "-U", "grader", "gradebook"], **quiet)
        yield f"postgresql+psycopg2://grader@/gradebook?host={folder}"
    finally:
        subprocess.run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


def test_exported_names_are_no_formulas():
    assert neutral("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert neutral("@SUM(A1)") == "'@SUM(A1)"
    assert neutral("-2.5") == "-2.5"
    assert neutral("Ada") == "Ada"


def test_nbgrader_export_writes_no_formula(tmp_path):
    """`nbgrader export` with the course's settings; a student may be called so."""
    course = Course(tmp_path / "course")
    with Gradebook(course.db_url) as gradebook:
        gradebook.add_assignment("toy")
        gradebook.add_student("=1+1", first_name="@SUM(A1)", last_name="Ada")
        gradebook.add_submission("toy", "=1+1")
    export = [Path(sys.executable).with_name("nbgrader"), "export", f"--db={course.db_url}"]
    subprocess.run(export, cwd=course.root, check=True, capture_output=True)
    with (course.root / "grades.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["student_id"], row["first_name"], row["last_name"]) == ("'=1+1", "'@SUM(A1)", "Ada")
    assert row["score"] == "0.0"
