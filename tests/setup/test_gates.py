"""The gates can fail: skips in CI, warnings, silent broadcasting, stray paths; and say what is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SAMPLE = """
import warnings
import jax.numpy as jnp
import pytest

@pytest.mark.needs("chromium")
def test_in_a_browser(): pass

@pytest.mark.needs("accelerator")
def test_on_an_accelerator(): pass

def test_skipped_for_another_reason(): pytest.skip("too lazy")

@pytest.mark.xfail(reason="known")
def test_known_failure(): assert False

def test_warning(): warnings.warn("deprecated", DeprecationWarning)

def test_broadcast(): jnp.ones((2, 3)) + jnp.ones(3)

@pytest.mark.allow_rank_promotion(reason="a student may")
def test_allowed_broadcast(): jnp.ones((2, 3)) + jnp.ones(3)
"""


def run_sample(folder: Path, ci: str) -> str:
    """What pytest says of `SAMPLE` under the settings of this repository, on a machine without programs."""
    (folder / "tests").mkdir()
    for name in ("pyproject.toml", "tests/conftest.py", "tests/system_packages.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests" / "test_sample.py").write_text(SAMPLE)
    (folder / "tests" / "test_absent.py").write_text('import pytest\npytest.importorskip("absent")\n')
    bare = {"CI": ci, "PATH": "/nonexistent", "HOME": str(folder), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "--numprocesses=1", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return {ci: run_sample(tmp_path_factory.mktemp("sample"), ci) for ci in ("", "true")}


def test_skips_name_what_is_missing(said):
    assert re.search(r"chromium: 1 skipped; to run them: (sudo apt-get install chromium|brew install .*)\n", said[""])
    assert "2 failed, 1 passed, 4 skipped, 1 xfailed" in said[""]


def test_skip_fails_in_ci_but_for_an_accelerator(said):
    # Errors, and not failures, because both come before the test: chromium, and the file that skipped itself.
    assert "3 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors" in said["true"]
    assert re.search(r"SKIPPED .* needs an accelerator", said["true"])
    assert "skipped in CI, where nothing may be: too lazy" in said["true"]


@pytest.mark.parametrize("name", ["test_warning", "test_broadcast"])
def test_strict_settings_fail(said, name):
    assert re.search(rf"FAILED \S+::{name}\b", said[""])
    assert "test_allowed_broadcast" not in said[""]


def test_stray_addresses_are_found():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    pattern = re.compile(next(hook["entry"] for hook in hooks if hook["id"] == "no-address"))
    # Taken apart, or the hook would find this file.
    stray = ["/ro" + "ot/.cache", "see /ho" + "me/ada/notes", "https://py" + "pi.org/simple", "'/Use" + "rs/ada'"]
    assert all(pattern.search(line) for line in stray)
    fine = ["a/work/b", "/tmp/x", "https://docs.jax.dev/", "the work/life balance", "$HOME/course"]
    assert not any(pattern.search(line) for line in fine)
