"""The one process runner: every external command goes through `run`.

Each call is logged under `regild.run` as a line that can be pasted into a shell, with its duration
and exit status; a failure becomes one typed error with the tail of what the command said.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from regild.errors import CommandFailed, ToolMissing

log = logging.getLogger("regild.run")

PACKAGES = {
    "apt-get": "apt",
    "bwrap": "bubblewrap",
    "debugfs": "e2fsprogs",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "e2fsck": "e2fsprogs",
    "mount": "mount",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "qemu-img": "qemu-utils",
}
"""Debian's package for each program that regild calls."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
"""What every command sees: nothing of the user's own environment, so that runs are alike."""

TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended: its exit status, what it printed (bytes) and how long it took."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def tail(self) -> str:
        """The end of what the command said, for an error's text."""
        said = self.stderr.strip() or self.stdout.strip()
        return said[-TAIL_BYTES:].decode(errors="replace") or "it said nothing"


def find_tool(name: str, purpose: str) -> Path:
    """The path of a program, looked up in the system's folders.

    Raises: ToolMissing, naming the package to install.
    """
    found = shutil.which(name, path=ENVIRONMENT["PATH"])
    if found is None:
        raise ToolMissing(where=name, why=purpose, package=PACKAGES.get(name, name))
    return Path(found)


def run(
    argv: Sequence[str | Path],
    *,
    purpose: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    check: bool = True,
) -> Finished:
    """Run a command to its end and return what it said; on time-out its whole group is ended.

    `purpose` completes the sentence "X is needed ...". With `output`, standard output and error
    both go to that file.

    Raises: ToolMissing, CommandFailed (also on time-out, with code 124) unless `check` is false.
    """
    line = [str(find_tool(str(argv[0]), purpose)), *map(str, argv[1:])]
    begun = time.monotonic()
    process = subprocess.Popen(
        [*_ending_with_us(), *line],
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.STDOUT if output else subprocess.PIPE,
        env={**ENVIRONMENT, **(env or {})},
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )
    finished = _finish(process, line, stdin, timeout_seconds, begun)
    log.debug("%s  # %d, %.2f s", shlex.join(line), finished.code, finished.seconds)
    if check and finished.code != 0:
        raise CommandFailed(where=str(argv[0]), why=finished.tail, code=finished.code)
    return finished


def _ending_with_us() -> list[str]:
    """The prefix that makes the kernel end a command when regild itself is killed."""
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _finish(
    process: subprocess.Popen[bytes],
    line: Sequence[str],
    stdin: bytes | None,
    timeout_seconds: float | None,
    begun: float,
) -> Finished:
    """Wait for a process; end its whole group when time is up or we are interrupted."""
    try:
        out, err = process.communicate(stdin, timeout=timeout_seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        end_group(process)
        out, err = process.communicate()
        code = 124
    except BaseException:
        end_group(process)
        process.wait()
        raise
    return Finished(tuple(line), code, out or b"", err or b"", time.monotonic() - begun)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything in its group; one that is gone already is fine."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        log.debug("process group %d had ended already", process.pid)
