"""`make setup`, `make lab`: on a small course with its own package index, every failure one clear line."""

import ast
import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The build backend of the small course, and the one package in its lock.
TINY = """
import zipfile
def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "gradlab-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        info = "gradlab-0.1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: gradlab\\nVersion: 0.1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
BACKEND = (
    '[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n[project]\nname = "gradlab"\nversion = "0.1.0"\n'
)


class Course:
    """A folder with the real Makefile and bootstrap.py, and an environment without what pytest was told."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.venv = folder / ".venv"
        self.stamp = self.venv / "gradlab-stamp"
        (folder / "course").mkdir(parents=True)
        (folder / "course" / "pyproject.toml").write_text(BACKEND)
        for name in ("Makefile", "bootstrap.py"):
            shutil.copy(ROOT / name, folder)
        self.write_lock(tiny_wheel(folder / "wheels"))
        kept = {"HOME", "LANG", "TMPDIR"}
        self.variables = {name: value for name, value in os.environ.items() if name in kept}
        # Not the environment of the tests, but the Python that it was made from.
        self.variables["PATH"] = f"{Path(sys._base_executable).parent}:{os.environ['PATH']}"
        self.variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_RETRIES": "1"}
        self.variables["PIP_FIND_LINKS"] = (folder / "wheels").as_uri()

    def write_lock(self, digest: str, comment: str = ""):
        (self.folder / "requirements.lock").write_text(f"{comment}tiny==1.0 \\\n    --hash=sha256:{digest}\n")

    def make(self, *goals: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [shutil.which("make"), *goals],
            cwd=self.folder,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def complaint(self, *goals: str, **variables: str) -> str:
        """The one line with which make fails, apart from its own."""
        result = self.make(*goals, **variables)
        assert result.returncode != 0, result.stdout
        lines = [line for line in result.stderr.splitlines() if not line.startswith("make")]
        assert len(lines) == 1, result.stderr
        assert "Traceback" not in result.stdout
        return lines[0]

    def assert_ready(self):
        assert self.make("setup").returncode == 0
        subprocess.run([self.venv / "bin" / "python", "-c", "import tiny"], check=True)


def tiny_wheel(folder: Path) -> str:
    """Write a wheel of the package `tiny` and return its SHA-256."""
    folder.mkdir()
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", TINY)
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        digest = base64.urlsafe_b64encode(hashlib.sha256(TINY.encode()).digest()).rstrip(b"=").decode()
        wheel.writestr("tiny-1.0.dist-info/RECORD", f"tiny.py,sha256={digest},{len(TINY)}\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path / "a course")  # a path with a space, as on many a desktop


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course that is set up; a test leaves it so."""
    course = Course(tmp_path_factory.mktemp("made") / "course")
    course.assert_ready()
    return course


def python_that(tmp_path, code: str) -> dict[str, str]:
    """Variables under which `python3` first runs `code`: a stand-in for another Python."""
    (tmp_path / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(tmp_path)}


def test_second_start_changes_nothing(made):
    before = made.stamp.stat().st_mtime_ns
    result = made.make("setup")
    assert (result.returncode, result.stdout, made.stamp.stat().st_mtime_ns) == (0, "", before)


def test_new_lock_makes_it_anew(made):
    left_over = made.venv / "left-over"
    left_over.touch()
    made.write_lock((made.folder / "requirements.lock").read_text().split("sha256:")[1].strip(), comment="# newer\n")
    made.assert_ready()
    assert not left_over.exists()


def test_broken_interpreter_is_mended(made):
    python = made.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    made.assert_ready()


def test_interrupted_setup_is_mended(course):
    with socket.create_server(("127.0.0.1", 0)) as index:  # accepts, and never answers
        variables = {"PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/simple", "PIP_NO_INDEX": "0"}
        running = subprocess.Popen(
            ["make", "setup"], cwd=course.folder, env=course.variables | variables, start_new_session=True
        )
        index.settimeout(60)
        connection, _ = index.accept()
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        connection.close()
    assert course.venv.exists()
    assert not course.stamp.exists()
    course.assert_ready()


def test_no_network(course):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        line = course.complaint("setup", PIP_INDEX_URL=index, PIP_NO_INDEX="0", PIP_FIND_LINKS="")
    assert "the package index cannot be reached: connect to the network" in line


def test_changed_download(course):
    course.write_lock("0" * 64)
    assert "does not have the hash" in course.complaint("setup")
    assert not course.stamp.exists()


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 14, 0)])
def test_unsupported_python(course, tmp_path, version):
    text = ".".join(map(str, version))
    code = f"import sys; sys.version_info = {version} + ('final', 0); sys.version = '{text} (main)'"
    line = course.complaint("setup", **python_that(tmp_path, code))
    assert f"python3 is Python {text}, and the course needs 3.13 or 3.12 or 3.11" in line
    assert "PYTHON=python3.1" in line


def test_missing_python(course, tmp_path):
    (tmp_path / "sh").symlink_to("/bin/sh")
    assert "there is no python3 here: install it" in course.complaint("setup", PATH=str(tmp_path))


def test_python_without_venv(course, tmp_path):
    code = "import sys; sys.modules['ensurepip'] = None"
    line = course.complaint("setup", **python_that(tmp_path, code))
    assert "this Python lacks ensurepip: " in line


def test_old_python_reads_as_far_as_the_message():

    ast.parse((ROOT / "bootstrap.py").read_text(), feature_version=(3, 6))


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("needed_gb", [3, 0])  # found out beforehand, and on the way
def test_full_disk(course, needed_gb):
    small_disk = ["bwrap", "--dev-bind", "/", "/", "--size", str(8 << 20), "--tmpfs", str(course.folder)]
    for name in ("bootstrap.py", "requirements.lock"):
        small_disk += ["--ro-bind", str(course.folder / name), str(course.folder / name)]
    code = (
        "import sys, pathlib; sys.argv = ['bootstrap.py', 'setup']\n"
        f"source = pathlib.Path('bootstrap.py').read_text().replace('NEEDED_GB = 3', 'NEEDED_GB = {needed_gb}')\n"
        "exec(compile(source, 'bootstrap.py', 'exec'), {'__name__': '__main__', '__file__': 'bootstrap.py'})"
    )
    python = shutil.which("python3", path=course.variables["PATH"])
    result = subprocess.run(
        [*small_disk, "--chdir", str(course.folder), python, "-B", "-c", code],
        env=course.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"GradLab: the disk is full: free {needed_gb} GB")
    assert len(result.stderr.splitlines()) == 1


def test_busy_port(made):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = made.complaint("lab", f"PORT={port}")
    assert line.endswith(f"port {port} is in use by another program: stop that, or choose another: PORT={port + 1}")


def test_port_that_is_none(made):
    assert "PORT=eighty is not a port" in made.complaint("lab", "PORT=eighty")


def test_staff_goal_in_a_students_copy(made):
    assert "this is a student's copy" in made.complaint("staff")
