"""What is needed to settle a dispute about a grade, kept for every run."""

import json
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory

from gradlab_grading.grader import Grader, Prepared
from gradlab_grading.job import Result

FOLDER = "records"
_PACKAGES = ("gradlab", "gradlab-grading", "nbgrader", "jax", "jaxlib", "numpy", "flax", "optax")


def write_record(
    coursedir: CourseDirectory,
    grader: Grader,
    prepared: Prepared,
    results: dict[str, Result],
    score: float | None,
) -> Path:
    """Add a file to `records/ASSIGNMENT/STUDENT/` of the course; none is overwritten."""
    now = datetime.now(UTC)
    digest = prepared.submission.digest
    record: dict[str, Any] = {
        "assignment": grader.assignment,
        "student": prepared.student,
        "graded_at": now.isoformat(timespec="seconds"),
        "submission_sha256": digest,
        "score": score,
        "mode": grader.mode,
        "executed": grader.executes,
        "limits": grader.limits.as_dict(),
        "seed": prepared.jobs[0].seed if prepared.jobs else None,
        "versions": versions(),
        "notes": prepared.notes,
        "notebooks": {name: result.as_dict() for name, result in sorted(results.items())},
    }
    folder = Path(coursedir.root, FOLDER, grader.assignment, prepared.student)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%S.%f}-{digest[:12]}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def versions() -> dict[str, str]:
    """Versions of what decides about a result."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
