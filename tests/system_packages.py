"""What tests need from the system, where it lies, and the command that installs it.

Run as a program it prints the Debian packages that are missing.
"""

import functools
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MACOS = sys.platform == "darwin"


@dataclass(frozen=True)
class SystemPackage:
    """A program that PyPI does not have.

    Attributes:
        programs: where it may lie: names on PATH, or glob patterns of absolute paths; newest last.
        probe: arguments with which the program, run, shows that it works here.
        apt: its package on Debian and Ubuntu.
        brew: what installs it on macOS; empty where it does not exist there.
    """

    programs: tuple[str, ...]
    probe: tuple[str, ...]
    apt: str
    brew: str

    @property
    def install(self) -> str:
        """The command that installs it here."""
        return (self.brew or "nothing: it is for Linux only") if MACOS else f"sudo apt-get install {self.apt}"


PACKAGES = {
    "chromium": SystemPackage(
        (
            "chromium",
            "chromium-browser",
            "google-chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        ),
        ("--version",),
        "chromium",
        "brew install --cask google-chrome",
    ),
    # Found is not enough: some systems forbid the user namespaces that it lives on.
    "bubblewrap": SystemPackage(("bwrap",), ("--ro-bind", "/", "/", "--unshare-user", "true"), "bubblewrap", ""),
    # macOS has a `java` that only says where to get one.
    "java": SystemPackage(
        ("java", "/opt/homebrew/opt/openjdk/bin/java"),
        ("-version",),
        "default-jre-headless",
        "brew install openjdk",
    ),
    # Debian and Homebrew keep the server, unlike its client, off PATH.
    "postgresql": SystemPackage(
        ("postgres", "/usr/lib/postgresql/*/bin/postgres", "/opt/homebrew/opt/postgresql@*/bin/postgres"),
        ("--version",),
        "postgresql",
        "brew install postgresql@17",
    ),
}


@functools.cache
def locate(name: str) -> Path | None:
    """The program of a system package (of `postgresql`, the server), or None where it does not work.

    Raises:
        KeyError: no such name in `PACKAGES`.
    """
    package = PACKAGES[name]
    found = [path for pattern in package.programs for path in _matches(pattern)]
    working = [path for path in found if _succeeds(path, *package.probe)]
    return Path(working[-1]) if working else None


def missing_reason(name: str) -> str | None:
    """Why a test that needs `name` cannot run here, or None where it can."""
    if name == "accelerator":
        return None if _has_accelerator() else "needs an accelerator"
    return None if locate(name) else f"needs {name}: {PACKAGES[name].install}"


def _matches(pattern: str) -> list[str]:
    if pattern.startswith("/"):
        return sorted(str(path) for path in Path("/").glob(pattern[1:]))
    found = shutil.which(pattern)
    return [found] if found else []


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@functools.cache
def _has_accelerator() -> bool:
    import jax  # here, because it starts the backend, which only a test that asks for it may do

    return jax.default_backend() != "cpu"


if __name__ == "__main__":
    print(" ".join(package.apt for name, package in PACKAGES.items() if not locate(name)))
