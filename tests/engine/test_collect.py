"""Collecting takes regular files and follows nothing."""

import io
import logging
import os
import tarfile
import zipfile

import pytest
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeError
from traitlets.config import Config

from gradlab_grading.collect import SafeCollect, SafeExtractor, take
from gradlab_grading.engine import Engine
from gradlab_grading.limits import Limits
from gradlab_grading.mend import Unreadable

pytestmark = pytest.mark.filterwarnings("ignore")


def test_collect_refuses_links_and_pipes(tmp_path, caplog):
    inbound = tmp_path / "exchange/course/inbound/ada+lab+2026-11-23 18:00:00 UTC"
    (inbound / "data").mkdir(parents=True)
    (inbound / "lab.ipynb").write_text("{}")
    (inbound / "data/table.csv").write_text("1,2")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "solutions").write_text("secret")
    (inbound / "solutions").symlink_to(secret / "solutions")
    (inbound / "folder").symlink_to(secret)
    os.mkfifo(inbound / "pipe")
    coursedir = CourseDirectory(root=str(tmp_path / "grading"), course_id="course", assignment_id="lab")
    with Gradebook(f"sqlite:///{tmp_path}/grading.db") as gradebook:
        gradebook.add_assignment("lab")
    coursedir.db_url = f"sqlite:///{tmp_path}/grading.db"
    collect = SafeCollect(coursedir=coursedir, config=Config({"Exchange": {"root": str(tmp_path / "exchange")}}))
    collect.log = logging.getLogger("collect")
    collect.init_src()
    collect.copy_files()
    submitted = tmp_path / "grading/submitted/ada/lab"
    found = sorted(p.relative_to(submitted).as_posix() for p in submitted.rglob("*") if not p.is_dir())
    assert found == ["data/table.csv", "lab.ipynb"]
    assert sum("Refused" in record.message for record in caplog.records) == 3


def test_archives_do_not_leave_their_folder(tmp_path, caplog):
    archives, out = tmp_path / "in", tmp_path / "out"
    archives.mkdir()
    out.mkdir()
    with zipfile.ZipFile(archives / "a.zip", "w") as archive:
        archive.writestr("../outside.ipynb", "x")
        archive.writestr("/absolute.ipynb", "x")
        archive.writestr("..\\windows.ipynb", "x")
        archive.writestr("fine/ada_lab.ipynb", "{}")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with tarfile.open(archives / "b.tar.gz", "w:gz") as archive:
        for name, kind in (("../out.ipynb", tarfile.REGTYPE), ("ok.ipynb", tarfile.REGTYPE), ("ln", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member, io.BytesIO(b""))
    extractor = SafeExtractor()
    extractor.log = logging.getLogger("extract")
    extractor.extract(str(archives), str(out))
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["in/a.zip", "in/b.tar.gz", "out/fine/ada_lab.ipynb", "out/ok.ipynb"]
    assert sum("Refused" in record.message for record in caplog.records) == 6


def test_the_digest_is_of_what_was_handed_in(tmp_path):
    """The same content gives the same digest; any change gives another."""
    (tmp_path / "lab.ipynb").write_text("{}")
    first = take(tmp_path, Limits(), [])
    assert take(tmp_path, Limits(), []).digest == first.digest
    (tmp_path / "lab.ipynb").write_text("{ }")
    assert take(tmp_path, Limits(), []).digest != first.digest


def test_large_files_are_left_out(tmp_path):
    (tmp_path / "lab.ipynb").write_bytes(b"x" * 2001)
    (tmp_path / "small.txt").write_text("x")
    taken = take(tmp_path, Limits.of({"submission_bytes": 2000}), [])
    assert isinstance(taken.notebooks["lab"], Unreadable)
    assert list(taken.files) == ["small.txt"]
    assert len(taken.notes) == 1


def test_limits_come_from_the_assignment_and_from_nbgrader():
    """`Execute.timeout` is honoured; a setting of the engine wins, one of the assignment wins over both."""
    config = Config({"Execute": {"timeout": 300}, "Engine": {"limits": {"processes": 9}}})
    config.Engine.assignments = {"0*": {"mode": "checker", "limits": {"cell_seconds": 7}}}
    engine = Engine(config=config)
    mode, limits = engine.settings_of("ps1")
    assert (mode, limits.cell_seconds, limits.wall_seconds, limits.processes) == ("kernel", 300, 1500, 9)
    mode, limits = engine.settings_of("04-optimizers")
    assert (mode, limits.cell_seconds, limits.processes) == ("checker", 7, 9)


@pytest.mark.parametrize("settings", [{"memory": 1}, {"memory_bytes": 0}, {"memory_bytes": 1.5}, {"cells": True}])
def test_wrong_limits_are_refused(settings):
    with pytest.raises(ValueError, match="limit"):
        Limits.of(settings)


def test_collecting_without_an_exchange_says_what_to_do(tmp_path):
    coursedir = CourseDirectory(root=str(tmp_path), course_id="course", assignment_id="lab")
    collect = SafeCollect(coursedir=coursedir, config=Config({"Exchange": {"root": str(tmp_path / "nowhere")}}))
    with pytest.raises(ExchangeError, match="release_assignment"):
        collect.start()
