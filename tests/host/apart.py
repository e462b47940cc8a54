"""Stages written by the tests, run as regild runs its own; and the machine's users."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regild.host.namespace import View, find_id_map
from regild.host.stage import run_stage
from regild.model.progress import Progress, Silent

ROOT = Path(__file__).resolve().parents[2]
USER = "regild-test"
CHILD_SUBREAPER = 36

WRAPPER = """\
#!/bin/sh
# The stage's Python, with the test's module in reach; everything else runs as it is.
[ "$2" = -m ] || exec {python} "$@"
exec env PYTHONPATH={folder}:{source} {python} -m "$3" "$4"
"""

Stage = Callable[..., Any]


def stage_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A function that runs the body of a stage's `main(request, progress)` apart."""
    folder.chmod(0o755)
    wrapper = folder / "python"
    wrapper.write_text(WRAPPER.format(python=sys.executable, folder=folder, source=ROOT / "src"))
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))

    def run(
        body: str, request: object = None, progress: Progress | None = None, **options: Any
    ) -> Any:
        text = "import os, sys, time\n\ndef main(request, progress):\n"
        (folder / "tried.py").write_text(text + textwrap.indent(textwrap.dedent(body), "    "))
        options.setdefault("view", View(readable=(folder,)))
        log = folder / "stages.log"
        return run_stage(
            "tried", request, ids=find_id_map(), log=log, progress=progress or Silent(), **options
        )

    return run


def run_as(user: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run some Python as another user of this machine, with nothing of our environment."""
    parts = (Path(sys.base_prefix), *Path(sys.base_prefix).parents)
    if not all(part.stat().st_mode & 0o005 == 0o005 for part in parts):
        pytest.skip("this Python lies where no other user may go")
    line = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    line += ["env", "-i", f"PYTHONPATH={ROOT / 'src'}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    line += [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd="/", timeout=120)


def user_with_ids() -> str:
    """An ordinary user with a range of ids; made if need be."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", USER], check=True, capture_output=True)
    if USER not in Path("/etc/subuid").read_text():
        line = ["usermod", "--add-subuids", "300000-365535", "--add-subgids", "300000-365535"]
        subprocess.run([*line, USER], check=True, capture_output=True)
    return USER


def all_gone(word: str, seconds: float = 10, own: bool = False) -> bool:
    """Whether every process with a word in its command line ends soon; with `own`, of those that
    this process or something under it started."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        alive = alive_with(word)
        if not (set(alive) & descendants() if own else alive):
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def keeping_orphans() -> Iterator[None]:
    """What loses its parent in the block stays below this process, where it can be told from
    everybody else's (PR_SET_CHILD_SUBREAPER of prctl(2))."""
    library = ctypes.CDLL(None, use_errno=True)
    assert library.prctl(CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        library.prctl(CHILD_SUBREAPER, 0, 0, 0, 0)


def descendants() -> set[int]:
    """Every process that comes from this one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {os.getpid()}
    while new:
        new = {one for one, parent in parents.items() if parent in new} - found
        found |= new
    return found


def alive_with(word: str) -> list[int]:
    """The processes of this machine with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has just ended
    return found
