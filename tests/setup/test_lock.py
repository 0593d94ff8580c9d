"""The lock, the metadata of the packages, environment.yml and bootstrap.py say the same."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import bootstrap
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECTS = {
    name: tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"] for name in ("course", "grading")
}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
OURS = {project["name"] for project in PROJECTS.values()}
PYTHONS = [f"3.{minor}" for minor in range(bootstrap.OLDEST[1], bootstrap.NEWEST[1] + 1)]
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]


def locked_requirements() -> list[Requirement]:
    """The requirements of the lock, without their hashes."""
    entries = re.sub(r"#.*", "", LOCK).replace("\\\n", " ").splitlines()
    return [Requirement(entry.split("--hash")[0].strip()) for entry in entries if entry.strip()]


def locked_versions(python: str, platform: str, machine: str) -> dict[str, str]:
    """The version of each package that the lock gives to a Python and a platform."""
    markers = {"python_version": python, "python_full_version": python + ".9", "sys_platform": platform}
    markers |= {"platform_machine": machine, "os_name": "posix", "platform_system": platform.capitalize()}
    chosen = [entry for entry in locked_requirements() if not entry.marker or entry.marker.evaluate(markers)]
    versions = {canonicalize_name(entry.name): str(entry.specifier).removeprefix("==") for entry in chosen}
    assert len(versions) == len(chosen), "two versions of one package"
    return versions


def declared_dependencies() -> list[Requirement]:
    """What both packages ask for, the gates of the repository included."""
    lists = [project["dependencies"] for project in PROJECTS.values()]
    lists.append(PROJECTS["grading"]["optional-dependencies"]["dev"])
    return [dependency for entries in lists for entry in entries if (dependency := Requirement(entry)).name not in OURS]


def test_lock_pins_and_hashes_everything():
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK) if not entry.startswith("#")]
    assert len(entries) == len(locked_requirements()) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+( ; [^\\]+)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_lock_names_no_address():
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK


@pytest.mark.parametrize(("platform", "machine"), PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_metadata(python, platform, machine):
    versions = locked_versions(python, platform, machine)
    for dependency in declared_dependencies():
        assert dependency.specifier.contains(versions[canonicalize_name(dependency.name)]), dependency


def test_what_runs_is_the_lock():
    entries = [entry for entry in locked_requirements() if not entry.marker or entry.marker.evaluate()]
    installed = {entry.name: importlib.metadata.version(entry.name) for entry in entries}
    assert installed == {entry.name: str(entry.specifier).removeprefix("==") for entry in entries}


def test_supported_pythons_agree():
    for project in PROJECTS.values():
        supported = SpecifierSet(project["requires-python"])
        assert [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.0" in supported] == PYTHONS


def test_packages_are_of_one_version():
    version = PROJECTS["course"]["version"]
    assert PROJECTS["grading"]["version"] == version
    assert f"gradlab=={version}" in PROJECTS["grading"]["dependencies"]


def test_conda_route_installs_the_lock():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    *system, python_packages = CONDA["dependencies"]
    # conda-forge gives Python and what is not Python: nothing there can differ from the lock.
    assert python_packages == {"pip": ["-r requirements.lock"]}
    names = [entry.split("=")[0] for entry in system]
    assert not {canonicalize_name(name) for name in names} & {entry.name for entry in locked_requirements()}
    python = next(entry.removeprefix("python=") for entry in system if entry.startswith("python="))
    assert python in PYTHONS
