"""How the tests run: strict JAX, one compilation cache, and no silent skip."""

import os
import re
import sys
from collections import Counter
from pathlib import Path

# nbgrader and the tests call programs of the environment by name; it need not be activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# Before JAX is imported, and inherited by every kernel and worker that a test starts.
# Emulated devices deadlock with fewer (jax 0.10 and 0.11).
os.environ["PJRT_NPROC"] = "32"
CACHE = Path(__file__).parents[1] / "build" / "jax-cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import absl.logging
import jax
import pytest
from xdist.scheduler import LoadScopeScheduling

from system_packages import PACKAGES, missing_reason

# When an application sets up its logs, all handlers are closed, and absl's closes the stream of pytest that it met,
# unless that is sys.stderr at the time; this one it leaves alone.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
# Strict dtype promotion (jax_numpy_dtype_promotion) cannot be: optax's own Adam mixes int32 and float.
jax.config.update("jax_numpy_rank_promotion", "raise")
# The distributed labs run in the process of the tests; the number is fixed once the backend has started.
jax.config.update("jax_num_cpu_devices", 8)

IN_CI = os.environ.get("CI", "").lower() == "true"
# The one thing that a machine of CI may lack.
EXCUSED = "needs an accelerator"


class ByFile(LoadScopeScheduling):
    """Gives each file to one worker, for its fixtures' sake, and all that drives a browser to the same one.

    What goes through every lab is shared out lab by lab.
    """

    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        if file in ("tests/engine/test_labs.py", "tests/labs/test_matrix.py"):
            return re.sub(r".*\[(\d\d-\w+).*", rf"{file} \1", nodeid)
        return "browser" if file.startswith("tests/browser/") else file


def pytest_xdist_make_scheduler(config, log):
    """Schedule by file, in the order of collection: the browser, which takes longest, comes first."""
    return ByFile(config, log)


def pytest_runtest_setup(item):
    """Skip a test that needs what is not here."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            reason = missing_reason(name)
            if reason:
                pytest.skip(reason)


@pytest.fixture(autouse=True)
def _rank_promotion(request):
    if request.node.get_closest_marker("allow_rank_promotion"):
        with jax.numpy_rank_promotion("allow"):
            yield
    else:
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """In CI a skipped test has failed."""
    return _fail_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """In CI a skipped file has failed too."""
    return _fail_skip((yield))


def _fail_skip(report):
    # An expected failure also counts as skipped, but has run.
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and _reason(report) != EXCUSED:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {_reason(report)}"
    return report


def _reason(report):
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter):
    """Name the system packages that are missing, and what installs each."""
    skipped = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    wanted = {name: skipped[missing_reason(name)] for name in PACKAGES if missing_reason(name) in skipped}
    if wanted:
        terminalreporter.section("skipped for want of a system package")
    for name, count in wanted.items():
        terminalreporter.line(f"{name}: {count} skipped; to run them: {PACKAGES[name].install}")
