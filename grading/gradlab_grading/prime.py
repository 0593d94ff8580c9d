"""Warming up: what the reference solution imports and compiles, kept for everyone.

The reference solution runs once a machine with a compilation cache that it may
write. Submissions then read its programs and cannot change them, and the warm
server imports beforehand whatever the reference ended up importing.
"""

import ast
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from gradlab_grading.job import CHECKER, Cell, Job, Result
from gradlab_grading.sandbox import SandboxSettings
from gradlab_grading.sandboxed.namespaces import NOBODY

RunReference = Callable[[SandboxSettings, Job], Result]
_MARK = "primed.json"
_KEEP_SECONDS = 30 * 86400
# Raised when what priming leaves changes: a cache of an older engine is not looked at again.
_FORMAT = b"3"
# Printed by the reference's kernel after its last cell: what has been imported from files.
_LIST_MODULES = """
import json as _json, sys as _sys
print(_json.dumps([name for name, module in list(_sys.modules.items())
                   if name != "__main__" and getattr(module, "__file__", None)]))
"""


@dataclass(frozen=True)
class Course:
    """What a worker needs to know of an assignment to be warm for it.

    Attributes:
        sandbox: without cache and modules, which depend on the machine.
        reference: jobs of the instructor's own notebooks.
    """

    sandbox: SandboxSettings
    reference: tuple[Job, ...] = ()

    @property
    def folder(self) -> Path:
        """The cache of this assignment on this machine."""
        digest = hashlib.sha256(_FORMAT)
        for job in self.reference:
            digest.update(repr((job.cells, job.setup, job.mode)).encode())
        for name in ("jax", "jaxlib", "numpy"):
            digest.update(f"{name} {_version(name)}".encode())
        # Whoever edits a check has other programs under the same version.
        for path in sorted(path for name in ("gradlab", "gradlab_grading") for path in _modules(name)):
            digest.update(path.read_bytes())
        digest.update(f"{platform.machine()} {platform.python_version()} {_cpu()}".encode())
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(root, "gradlab", "programs", digest.hexdigest()[:16])

    def imports(self) -> tuple[str, ...]:
        """Top-level imports in the reference's cells."""
        found: dict[str, None] = {}
        if any(job.mode == CHECKER for job in self.reference):
            found["gradlab.seam.store"] = None
        for job in self.reference:
            for cell in job.cells:
                found |= dict.fromkeys(_imports(cell.source))
        return tuple(found)

    def warm(self, run_reference: RunReference) -> SandboxSettings:
        """The sandbox's settings with cache and modules, made now if this machine lacks them.

        Args:
            run_reference: called with settings and a job, gives its `Result`.
        """
        if not self.reference:
            return self.sandbox
        settings = replace(self.sandbox, modules=self.imports())
        folder = self.folder
        programs, mark = folder / "programs", folder / _MARK
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            # Two graders on one machine prime one after the other.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                _forget_old(folder.parent)
                programs.mkdir(exist_ok=True)
                if os.getuid() == 0:
                    # The kernel writes as nobody, and the checker as a root that may do no more than its group.
                    os.chown(programs, NOBODY, 0)
                    programs.chmod(0o775)
                learned = self._prime(replace(settings, cache=programs, writable_cache=True), run_reference)
                (folder / "part").write_text(json.dumps(learned))
                (folder / "part").replace(mark)
            mark.touch()
            known = json.loads(mark.read_text())
        modules = tuple(dict.fromkeys((*settings.modules, *known)))
        return replace(settings, cache=programs, modules=modules)

    def _prime(self, settings: SandboxSettings, run_reference: RunReference) -> list[str]:
        learned: dict[str, None] = {}
        for job in self.reference:
            last = Cell(max((cell.index for cell in job.cells), default=0) + 1, _LIST_MODULES, False)
            result = run_reference(settings, replace(job, cells=(*job.cells, last)))
            printed = "".join(item.get("text", "") for item in result.cells[last.index].outputs)
            try:
                learned |= dict.fromkeys(json.loads(printed.strip().splitlines()[-1]))
            except (ValueError, IndexError):
                continue
        return list(learned)


def _forget_old(root: Path) -> None:
    """Remove the caches that nobody has used for long: each edit of a lab or a check makes a new one."""
    for mark in root.glob(f"*/{_MARK}"):
        if time.time() - mark.stat().st_mtime > _KEEP_SECONDS:
            shutil.rmtree(mark.parent, ignore_errors=True)


def _imports(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
    # The staff package stays outside the sandbox.
    return [name for name in names if not name.startswith("gradlab_grading")]


def _modules(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    return [path for folder in spec.submodule_search_locations or () for path in Path(folder).rglob("*.py")]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _cpu() -> str:
    """The processor's features: compiled programs may use any of them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
