"""From `make lab` to a grade: lab 04 solved in the browser from its text, handed in, collected, graded, fed back.

Ada's answers are right. Ben has Ada's, and three that are wrong. They sit at one JupyterLab, one after the other.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
from nbformat.reader import NotJSONError
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade
from playwright.sync_api import Page, expect

from browser.harness import SHOTS
from browser.lab_server import chromium_page
from browser.optimizers_by_a_student import ANSWERS, WRONG
from gradlab.checks.report import MIMETYPE
from gradlab_grading.layout import repository
from gradlab_grading.studentcopy import COPIED
from loop.classroom import Classroom
from make_lab import free_port, made

LAB, NOTEBOOK = "04-optimizers", "optimizers"
PATIENCE = 240  # seconds; it costs nothing where all is well

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.needs("bubblewrap"),
    # nbgrader's own: it makes objects before it adds them to its session.
    pytest.mark.filterwarnings("ignore:Object of type <Submitted"),
    pytest.mark.long,
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """The staff's course, graded by the engine, with lab 04 released to the exchange."""
    (source,) = repository().sources(LAB)
    room = Classroom(tmp_path_factory.mktemp("walk"), source, engine=True)
    room.staff(["generate_assignment", LAB], ["release_assignment", LAB])
    return room


@pytest.fixture(scope="module")
def home(room):
    """A student's copy of the course, with an environment of its own that borrows this one's packages."""
    home = room.homes / "ada" / "gradlab"
    home.mkdir(parents=True)
    for name in (*COPIED, "labs"):
        original = repository().root / name
        copy = shutil.copytree if original.is_dir() else shutil.copy
        copy(original, home / name)
    environment = home / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "share"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    shutil.copytree(Path(sys.prefix) / "etc", environment / "etc")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    stamp = "import sys, bootstrap as b; print(b.environment_key(), b.version_of(sys.version_info))"
    made_of = subprocess.run([sys.executable, "-c", stamp], cwd=home, check=True, capture_output=True, text=True)
    (environment / "gradlab-stamp").write_text(made_of.stdout)
    return home


@pytest.fixture(scope="module")
def address(room, home):
    """What `make lab` prints to Ada, whose teachers have told her nbgrader where the exchange is."""
    settings = room.homes / "ada" / "jupyter"
    settings.mkdir()
    exchange = {"root": str(room.exchange), "cache": str(room.homes / "ada" / "cache")}
    config = {"Exchange": exchange, "CourseDirectory": {"student_id": "ada"}}
    (settings / "nbgrader_config.json").write_text(json.dumps(config))
    own = {"JUPYTER_CONFIG_DIR": str(settings), "JUPYTER_RUNTIME_DIR": str(settings / "runtime")}
    with made("lab", home, free_port(), **own) as address:
        _wait_for(address)
        yield address


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urlopen(address, timeout=5).close()
            return
        except (URLError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class Seat:
    """A student before the browser, who uses the keyboard and the menus."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.path = page, path
        self.active = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")

    @property
    def cells(self) -> list:
        """The cells as they were last saved."""
        return nbformat.read(self.path, as_version=4).cells

    def place(self, grade_id: str) -> int:
        """The number of a cell of nbgrader's."""
        names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in self.cells]
        return names.index(grade_id)

    def go_to(self, place: int) -> None:
        """Make a cell the active one, in command mode, with the arrow keys."""
        at = int(self.active.get_attribute("data-windowed-list-index") or 0)
        for _ in range(abs(place - at)):
            self.page.keyboard.press("ArrowDown" if place > at else "ArrowUp")
        expect(self.active).to_have_attribute("data-windowed-list-index", str(place))

    def answer(self, grade_id: str, text: str) -> None:
        """Type over what stands in a cell."""
        self.go_to(self.place(grade_id))
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Control+a")
        # A line is typed key by key; a longer text is put in as by paste, which the editor does not indent.
        (self.page.keyboard.insert_text if "\n" in text else self.page.keyboard.type)(text)
        self.page.keyboard.press("Escape")

    def choose(self, menu: str, entry: str) -> None:
        """Click an entry of the menu bar."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def run_all_and_save(self) -> None:
        """Run all cells from a fresh kernel; save when the last has ended."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self._save_until(lambda counts: not any(counts))
        self.choose("Run", "Restart Kernel and Run All Cells…")
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        self._save_until(all)

    def _save_until(self, ready: Callable[[list], bool]) -> None:
        """Save now and then, until the numbers at the cells are as wanted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.page.keyboard.press("Control+s")
            self.page.wait_for_timeout(500)
            # The server writes in place: while it does, the file is empty or cut short.
            with suppress(NotJSONError):
                if ready([cell.execution_count for cell in self.cells if cell.cell_type == "code"]):
                    return
            assert time.monotonic() < deadline, "the cells did not run to the end"

    def reports(self) -> dict[str, dict]:
        """The saved reports by the name of their cell."""
        return {
            cell.metadata.nbgrader.grade_id.removeprefix("test-"): output.data[MIMETYPE]
            for cell in self.cells
            if cell.cell_type == "code" and is_grade(cell)
            for output in cell.outputs
            if MIMETYPE in output.get("data", {})
        }

    def shoot(self, name: str) -> None:
        """A picture of the page, kept for a person to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"walk-{name}.png")


@pytest.fixture(scope="module")
def seat(address, home):
    """A browser at the printed address."""
    with chromium_page() as page:
        page.goto(address)
        yield Seat(page, home / "labs" / LAB / f"{NOTEBOOK}.ipynb")


def test_ada_opens_the_lab_from_the_start_page(seat):
    link = seat.page.get_by_role("link", name="04 Optimizers").first
    expect(link).to_be_visible(timeout=1000 * PATIENCE)
    seat.shoot("start")
    link.click()
    title = seat.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").get_by_role("heading", name="Lab 04: Optimizers")
    expect(title).to_be_visible(timeout=1000 * PATIENCE)
    title.click()
    expect(seat.active).to_have_attribute("data-windowed-list-index", "0")


def test_her_answers_pass_every_visible_check(seat):
    for grade_id, text in ANSWERS.items():
        seat.answer(grade_id, text)
    seat.run_all_and_save()
    found = seat.reports()
    assert len(found) == len(ANSWERS) - 1  # all but the written one
    assert {name: report["score"] for name, report in found.items()} == {
        name: report["points"] for name, report in found.items()
    }
    seat.go_to(seat.place("test-adam"))
    expect(seat.active.locator(".gradlab-report.good")).to_be_visible()
    seat.shoot("right")


def test_her_optimizers_drive_the_race(seat):
    race = seat.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .gl-view").last
    race.scroll_into_view_if_needed()
    verdicts = race.locator("td.gl-verdict")
    expect(verdicts).to_have_count(6)
    expect(verdicts).to_contain_text(["follows the library"] * 6)
    seat.shoot("race")


def test_she_hands_in_from_the_list_of_assignments(seat, room):
    seat.choose("Nbgrader", "Assignment List")
    seat.page.get_by_role("button", name="Submit").click()
    expect(seat.page.locator("#submitted_assignments_list_placeholder")).to_be_hidden()
    seat.shoot("assignments")
    (handed_in,) = (room.exchange / "gradlab" / "inbound").iterdir()
    assert handed_in.name.startswith(f"ada+{LAB}+")


def test_each_of_bens_three_mistakes_is_named(seat, room):
    seat.page.get_by_role("tab", name=f"{NOTEBOOK}.ipynb").click()
    for grade_id, (text, _) in WRONG.items():
        seat.answer(grade_id, text)
    seat.run_all_and_save()
    found = seat.reports()
    for name, (_, title) in WRONG.items():
        assert found[name]["score"] < found[name]["points"], name
        seat.go_to(seat.place(f"test-{name}"))
        expect(seat.active.locator(".gradlab-report.bad")).to_contain_text(f"known mistake: {title}")
    seat.shoot("wrong")
    shutil.copytree(seat.path.parent, room.homes / "ben" / LAB)
    room.student("ben", ["submit", LAB])


def test_the_engine_gives_ada_all_and_ben_all_but_three(room):
    room.staff(["collect", LAB])
    command = [Path(sys.prefix) / "bin" / "gradlab", "grade", LAB, "--course", room.layout.grading, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert {it["student"]: it["status"] for it in json.loads(run.stdout)[LAB]} == {"ada": "graded", "ben": "graded"}
    lost = {student: _lost(room, student) for student in ("ada", "ben")}
    assert lost["ada"] == set()
    assert lost["ben"] >= set(WRONG)


def _lost(room, student: str) -> set[str]:
    """The exercises in which a student has not every point."""
    with Gradebook(f"sqlite:///{room.layout.grading / 'gradebook.db'}", "gradlab") as gradebook:
        grades = gradebook.find_submission_notebook(NOTEBOOK, LAB, student).grades
        return {
            g.name.removeprefix("test-") for g in grades if g.auto_score != g.max_score and not g.needs_manual_grade
        }


def test_the_feedback_names_bens_mistakes(room, seat):
    room.staff(["generate_feedback", LAB], ["release_feedback", LAB])
    room.student("ben", ["fetch_feedback", LAB])
    page = room.feedback("ben")
    for name, (_, title) in WRONG.items():
        part = page.partition(f"<code>test-{name}</code>")[2].partition("<code>test-")[0]
        assert f"This looks like a known mistake: {title}" in part, name
    (path,) = (room.homes / "ben" / LAB / "feedback").glob("*/*.html")
    seat.page.goto(path.as_uri())
    seat.shoot("feedback")
