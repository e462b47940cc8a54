"""An ordinary user of this machine, with regild installed where that user can run it."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "regild-test"


@dataclass(frozen=True)
class Person:
    """A user and the regild that the user runs."""

    name: str
    home: Path
    program: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run regild as this user, with nothing of our own environment."""
        line = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups"]
        line += ["env", "-i", f"HOME={self.home}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        line += [str(self.program), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=self.home)


def ordinary_user(folder: Path) -> Person:
    """The tests' ordinary user, made if need be; regild is installed below `folder`."""
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _tool("useradd", "--create-home", "--shell", "/bin/sh", NAME)
        entry = pwd.getpwnam(NAME)
    if NAME not in Path("/etc/subuid").read_text():
        _tool("usermod", "--add-subuids", "300000-365535", "--add-subgids", "300000-365535", NAME)
    folder.chmod(0o755)
    place = folder / "venv"
    python = _python_for_all()
    subprocess.run([python, "-m", "venv", place], check=True)
    install = [place / "bin/pip", "install", "--quiet", ROOT]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"regild cannot be installed for an ordinary user: {done.stderr[-300:]}")
    return Person(NAME, Path(entry.pw_dir), place / "bin/regild")


def _python_for_all() -> str:
    """A Python that every user can run: this one if it lies open, else the system's."""
    path = Path(sys.base_prefix)
    if all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents)):
        return sys.executable
    found = shutil.which("python3", path="/usr/bin")
    if found is None:
        pytest.skip("no Python that an ordinary user can run: install the package python3")
    return found


def _tool(*line: str) -> None:
    subprocess.run(line, check=True, capture_output=True)
