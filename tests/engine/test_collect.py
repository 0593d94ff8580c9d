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
    assert _collected(tmp_path) == ["ada/lab/data/table.csv", "ada/lab/lab.ipynb"]
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


def test_a_broken_archive_stops_no_other(tmp_path, caplog):
    archives, out = tmp_path / "in", tmp_path / "out"
    archives.mkdir()
    out.mkdir()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ada_lab.ipynb", "{}" * 1000)
    sound = whole.getvalue()
    torn = bytearray(sound)
    torn[30 + len("ada_lab.ipynb")] ^= 0xFF  # in the data, which follows a header of 30 bytes and the name
    locked = bytearray(sound)
    for at in (6, sound.index(b"PK\x01\x02") + 8):  # the bit that says "encrypted", in both headers
        locked[at] |= 1
    (archives / "a.zip").write_bytes(torn)
    (archives / "b.zip").write_bytes(locked)
    with tarfile.open(archives / "c.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("big"), io.BytesIO(b""))
    (archives / "c.tar.gz").write_bytes((archives / "c.tar.gz").read_bytes()[:-12])
    with zipfile.ZipFile(archives / "d.zip", "w") as archive:
        for name in ("x" * 300, "lab", "lab/inside"):
            archive.writestr(name, "")
        archive.writestr("last.ipynb", "{}")
    (archives / "e.zip").write_bytes(sound)
    extractor = SafeExtractor()
    extractor.log = logging.getLogger("extract")
    extractor.extract(str(archives), str(out))
    assert {path.name for path in out.iterdir()} >= {"ada_lab.ipynb", "lab", "last.ipynb"}
    assert (out / "ada_lab.ipynb").read_text() == "{}" * 1000
    said = "\n".join(record.message for record in caplog.records)
    for name in ("a.zip", "b.zip", "d.zip"):
        assert f"{archives / name}: " in said, name


def test_a_submission_that_is_too_large_stops_no_other(tmp_path, caplog):
    for student, size in (("ada", 3000), ("ben", 10)):
        inbound = tmp_path / f"exchange/course/inbound/{student}+lab+2026-11-23 18:00:00 UTC"
        inbound.mkdir(parents=True)
        (inbound / "lab.ipynb").write_bytes(b"x" * size)
    assert _collected(tmp_path, max_dir_size=2) == ["ben/lab/lab.ipynb"]
    assert "Refused" in caplog.text
    assert "larger than 2 kB" in caplog.text


def _collected(root, **limits):
    """What `nbgrader collect` takes from the exchange."""
    coursedir = CourseDirectory(root=str(root / "grading"), course_id="course", assignment_id="lab", **limits)
    coursedir.db_url = f"sqlite:///{root}/grading.db"
    with Gradebook(coursedir.db_url) as gradebook:
        gradebook.add_assignment("lab")
    collect = SafeCollect(coursedir=coursedir, config=Config({"Exchange": {"root": str(root / "exchange")}}))
    collect.log = logging.getLogger("collect")
    collect.init_src()
    collect.copy_files()
    submitted = root / "grading/submitted"
    return sorted(p.relative_to(submitted).as_posix() for p in submitted.rglob("*") if not p.is_dir())


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
