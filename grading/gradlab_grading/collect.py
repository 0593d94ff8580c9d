"""Taking what students hand in, without following where it points.

A submission is a folder that a student has filled. It may hold links to the
grader's own files, pipes that never end, archives that write elsewhere. What
is taken from it here is the content of regular files, and nothing else.
"""

import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from nbgrader.exchange.default.collect import ExchangeCollect
from nbgrader.plugins import ExtractorPlugin
from nbgrader.utils import is_ignored

from gradlab_grading.limits import MIB, Limits
from gradlab_grading.mend import Unreadable

MAX_FILES = 1000
MAX_TOTAL_BYTES = 200 * MIB
# What the readers of archives raise: for a password a RuntimeError, for an unknown compression a NotImplementedError.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)


@dataclass
class Submission:
    """What was taken from a submitted folder.

    Attributes:
        notebooks: content by name without suffix, or why there is none.
        files: content of every other file, by relative path.
        notes: what was refused, a line each.
        digest: SHA-256 over paths and contents of everything that was taken.
    """

    notebooks: dict[str, bytes | Unreadable] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    digest: str = ""


def take(folder: Path, limits: Limits, ignore: list[str]) -> Submission:
    """Read a submitted folder into memory."""
    taken = Submission()
    digest = hashlib.sha256()
    total = 0
    for count, (path, data) in enumerate(_regular_files(folder, limits.submission_bytes, ignore)):
        is_notebook = "/" not in path and path.endswith(".ipynb")
        name = path.removesuffix(".ipynb")
        if isinstance(data, Unreadable):
            taken.notes.append(f"The file '{path}' was left out: {data}.")
            if is_notebook:
                taken.notebooks[name] = data
            continue
        total += len(data)
        if count >= MAX_FILES or total > MAX_TOTAL_BYTES:
            limit = f"{MAX_FILES} files or {MAX_TOTAL_BYTES // MIB} MiB"
            taken.notes.append(f"The submission is larger than {limit}; the rest was left out.")
            break
        digest.update(f"{path}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
        if is_notebook:
            taken.notebooks[name] = data
        elif not path.endswith(".ipynb"):
            taken.files[path] = data
    taken.digest = digest.hexdigest()
    return taken


def _regular_files(folder: Path, max_bytes: int, ignore: list[str]) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Each file below `folder`, in order: its path relative to it, and its content."""
    for parent, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not is_ignored(name, ignore))
        for name in [*sorted(names), *(n for n in folders if Path(parent, n).is_symlink())]:
            path = Path(parent, name).relative_to(folder).as_posix()
            if is_ignored(name, ignore):
                continue
            try:
                path.encode("utf-8")
                yield path, _read(name, descriptor, max_bytes)
            except UnicodeEncodeError:
                yield path.encode("utf-8", "replace").decode(), Unreadable("its name is not UTF-8")
            except Unreadable as problem:
                yield path, problem


def _read(name: str, folder: int, max_bytes: int) -> bytes:
    """Read a regular file; never through a link, and never one that blocks."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as problem:
        is_link = stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode)
        raise Unreadable("it is a link" if is_link else f"it cannot be read ({problem.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable("it is not a regular file")
        if info.st_size > max_bytes:
            raise Unreadable(f"it has {info.st_size / MIB:.0f} MiB, and the limit is {max_bytes / MIB:.0f} MiB")
        return file.read(max_bytes)


class SafeCollect(ExchangeCollect):
    """`nbgrader collect` that refuses links, pipes and devices, and says so.

    Set `c.ExchangeFactory.collect` to it.
    """

    # nbgrader declares it in a way that type checkers cannot follow.
    coursedir: Any

    def ensure_root(self) -> None:
        """Fail with what to do where there is no exchange; nbgrader would refer an instructor to the instructor."""
        if not Path(self.root).is_dir():
            self.fail(
                f"There is no exchange at {self.root}: `nbgrader release_assignment` makes it. If it is elsewhere, set"
                " c.Exchange.root. To grade without an exchange, put submissions under submitted/STUDENT/ASSIGNMENT/."
            )
        super().ensure_root()

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy the regular files of a submission; nothing of one that is too large, which stops nobody else's."""
        if self.get_size(src) > 1000 * self.coursedir.max_dir_size:
            self.log.error("Refused %s: it is larger than %s kB", src, self.coursedir.max_dir_size)
            return
        max_bytes = 1000 * self.coursedir.max_file_size
        for path, data in _regular_files(Path(src), max_bytes, self.coursedir.ignore):
            if isinstance(data, Unreadable):
                self.log.warning("Refused %s of %s: %s", path, src, data)
                continue
            target = Path(dest, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            if self.coursedir.groupshared:
                target.chmod(0o664)


class SafeExtractor(ExtractorPlugin):
    """`nbgrader zip_collect` that unpacks within its folder and a size, and no links.

    Set `c.ZipCollectApp.extractor_plugin` to it.
    """

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Unpack every archive of a folder; one that is broken, or needs a password, is named and left out."""
        for path in sorted(Path(archive_path).iterdir()):
            if path.is_symlink() or not path.is_file():
                self.log.warning("Refused %s: it is not a regular file", path)
                continue
            try:
                if zipfile.is_zipfile(path):
                    self._unpack(path, Path(extracted_path), _zip_members(path))
                elif tarfile.is_tarfile(path):
                    self._unpack(path, Path(extracted_path), _tar_members(path))
                else:
                    Path(extracted_path, path.name).write_bytes(path.read_bytes())
            except _BROKEN as problem:
                self.log.error("Refused what is left of %s: %s", path, problem)

    def _unpack(self, archive: Path, target: Path, members: Iterator[tuple[str, bytes | None]]) -> None:
        total = 0
        for name, data in members:
            inside = PurePosixPath(name.replace("\\", "/"))
            if data is None or inside.is_absolute() or ".." in inside.parts:
                self.log.warning("Refused %r of %s: it leads elsewhere", name, archive)
                continue
            total += len(data)
            if total > MAX_TOTAL_BYTES:
                self.log.warning("Refused the rest of %s: it is too large", archive)
                return
            path = target / inside
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            except (OSError, ValueError) as problem:
                # Its name is too long, holds a null byte, or is that of a folder.
                self.log.warning("Refused %r of %s: %s", name, archive, problem)


def _zip_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Files of a zip archive; no content for a link."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                yield member.filename, None
                continue
            # What the archive claims about its size is not to be trusted.
            with archive.open(member) as file:
                yield member.filename, file.read(MAX_TOTAL_BYTES + 1)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Files of a tar archive; no content for a link or a device."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            yield member.name, file.read(MAX_TOTAL_BYTES + 1) if file else None
