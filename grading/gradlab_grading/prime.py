"""Warming up: what the reference solution imports and compiles, kept for everyone.

The reference solution runs once a machine with a compilation cache that it may
write. Submissions then read its programs and cannot change them, and the warm
server imports beforehand whatever the reference ended up importing.
"""

import ast
import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from gradlab_grading.job import CHECKER, Cell, Job, Result
from gradlab_grading.sandbox import SandboxSettings
from gradlab_grading.sandboxed.namespaces import NOBODY

RunReference = Callable[[SandboxSettings, Job], Result]
_MARK = "primed.json"
_CACHE_BYTES = 2 * 2**30
# Raised when what priming leaves changes: a cache of an older engine is not looked at again.
_FORMAT = b"2"
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
        reference: jobs of the instructor's own notebooks, with the seed of the batch:
            what hidden checks draw decides about shapes, and so about programs.
    """

    sandbox: SandboxSettings
    reference: tuple[Job, ...] = ()

    @property
    def folder(self) -> Path:
        """The cache of this assignment on this machine."""
        digest = hashlib.sha256(_FORMAT)
        for job in self.reference:
            digest.update(repr((job.cells, job.setup, job.mode)).encode())
        for name in ("jax", "jaxlib", "numpy", "gradlab"):
            digest.update(f"{name} {_version(name)}".encode())
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
        programs = folder / "programs"
        folder.mkdir(parents=True, exist_ok=True)
        seeds = sorted({job.seed for job in self.reference})
        with (folder / "lock").open("w") as lock:
            # Two graders on one machine prime one after the other.
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = json.loads((folder / _MARK).read_text()) if (folder / _MARK).exists() else {}
            if seeds not in known.get("seeds", []):
                programs.mkdir(exist_ok=True)
                _trim(programs)
                if os.getuid() == 0:
                    # The kernel writes as nobody, and the checker as a root that may do no more than its group.
                    os.chown(programs, NOBODY, 0)
                    programs.chmod(0o775)
                writable = replace(settings, cache=programs, writable_cache=True)
                known["modules"] = self._prime(writable, run_reference)
                known["seeds"] = [*known.get("seeds", [])[-50:], seeds]
                (folder / "part").write_text(json.dumps(known))
                (folder / "part").replace(folder / _MARK)
        modules = tuple(dict.fromkeys((*settings.modules, *known["modules"])))
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


def _trim(programs: Path) -> None:
    """Remove the oldest programs where there are too many: every batch adds its own."""
    found = sorted(((path.stat().st_mtime, path) for path in programs.iterdir()), reverse=True)
    total = 0
    for _, path in found:
        total += path.stat().st_size
        if total > _CACHE_BYTES:
            path.unlink()


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
