"""The one process runner: every external command goes through `run`.

Each call is logged under `regild.run` as a line that can be pasted into a shell, with its duration
and exit status; a failure becomes one typed error with the tail of what the command said.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec

from regild.errors import CommandFailed, NoProgram, ToolMissing

log = logging.getLogger("regild.run")


class Process(Protocol):
    """A process that leads a group of its own."""

    pid: int


PACKAGES = {
    "apt-get": "apt",
    "btrfs": "btrfs-progs",
    "bwrap": "bubblewrap",
    "debugfs": "e2fsprogs",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "e2fsck": "e2fsprogs",
    "linux.uml": "user-mode-linux",
    "mke2fs": "e2fsprogs",
    "mount": "mount",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "prlimit": "util-linux",
    "qemu-img": "qemu-utils",
    "resize2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "umount": "mount",
    "xfs_repair": "xfsprogs",
    "xorriso": "xorriso",
}
"""Debian's package for each program that regild calls."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
"""What every command sees: nothing of the user's own environment, so that runs are alike."""

TAIL_BYTES = 4096
OUTPUT_BYTES_MAX = 64 << 20
"""What a command may say; the longest measured, apt-get over a full upgrade, is under 1 MiB."""
TIMED_OUT = 124
"""Exit status in place of a command's own when its time was up, as timeout(1) has it."""
PIPE_BYTES = 1 << 16
TICK_SECONDS = 0.5


class Finished(msgspec.Struct, frozen=True):
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

    Raises: ToolMissing, naming the package to install; NoProgram for a path.
    """
    found = shutil.which(name, path=ENVIRONMENT["PATH"])
    if found is None and "/" in name:
        raise NoProgram(where=name, why=purpose)
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
    output_bytes: int = OUTPUT_BYTES_MAX,
    watch: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
    check: bool = True,
) -> Finished:
    """Run a command to its end and return what it said; on time-out its whole group is ended.

    `purpose` completes the sentence "X is needed ...". With `output`, standard output and error
    both go to that file. `watch` is called every second or more often; what it raises ends the
    command.

    Raises: ToolMissing; CommandFailed when it says more than `output_bytes`, and, unless `check`
    is false, when it fails or is out of time (code 124).
    """
    line = [str(find_tool(str(argv[0]), purpose)), *map(str, argv[1:])]
    begun = time.monotonic()
    said, complained = _Said(output, output_bytes), _Said(None, output_bytes)
    with contextlib.ExitStack() as opened:
        process = subprocess.Popen(
            [*ending_with_us(), *line],
            stdin=_filled(stdin, opened) if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
        streams = {process.stdout: said, process.stderr: complained}
        code = _finish(process, streams, timeout_seconds, watch or _watch_nothing)
    finished = Finished(
        tuple(line), code, said.content, complained.content, time.monotonic() - begun
    )
    log.debug("%s  # %d, %.2f s", shlex.join(line), finished.code, finished.seconds)
    if said.is_full or complained.is_full:
        why = f"it said more than {output_bytes} bytes"
        raise CommandFailed(where=str(argv[0]), why=why, code=code)
    if check and finished.code != 0:
        raise CommandFailed(where=str(argv[0]), why=finished.tail, code=finished.code)
    return finished


class _Said:
    """What a command says on one stream, up to a limit: kept, or passed on to a file."""

    def __init__(self, file: IO[bytes] | None, limit: int) -> None:
        self._file, self._left, self._kept = file, limit, bytearray()

    @property
    def content(self) -> bytes:
        """What was kept; nothing where it went to a file."""
        return bytes(self._kept)

    @property
    def is_full(self) -> bool:
        """Whether there was more than the limit."""
        return self._left < 0

    def take(self, content: bytes) -> None:
        """Take some more in."""
        if self._left > 0:
            piece = content[: self._left]
            if self._file is not None:
                self._file.write(piece)
            else:
                self._kept += piece
        self._left -= len(content)


def ending_with_us() -> list[str]:
    """The prefix that makes the kernel end a command when regild itself is killed."""
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _filled(content: bytes, opened: contextlib.ExitStack) -> int:
    """A file without a name that holds what a command reads: no pipe that could fill up."""
    file = opened.enter_context(os.fdopen(os.memfd_create("stdin"), "wb"))
    file.write(content)
    file.seek(0)
    return file.fileno()


def _watch_nothing() -> None:
    """Nothing to look at while a command runs."""


def _finish(
    process: subprocess.Popen[bytes],
    streams: Mapping[IO[bytes] | None, _Said],
    timeout_seconds: float | None,
    watch: Callable[[], None],
) -> int:
    """Wait for a process; end its whole group when time is up or we are interrupted."""
    try:
        until = time.monotonic() + timeout_seconds if timeout_seconds is not None else None
        is_done = _listen(process, streams, until, watch)
        if not is_done:
            end_group(process)
        code = process.wait()
    except BaseException:
        end_group(process)
        process.wait()
        raise
    finally:
        for stream in streams:
            if stream is not None:
                stream.close()
    return code if is_done else TIMED_OUT


def _listen(
    process: subprocess.Popen[bytes],
    streams: Mapping[IO[bytes] | None, _Said],
    until: float | None,
    watch: Callable[[], None],
) -> bool:
    """Take in what a process says until it has ended; False when its time was up before.

    Whatever it started may hold the pipes open after its end; that is not waited for.
    """
    with selectors.DefaultSelector() as listening:
        for stream, said in streams.items():
            if stream is not None:
                listening.register(stream, selectors.EVENT_READ, said)
        ended_at = None
        while True:
            if ended_at is None and process.poll() is not None:
                ended_at = time.monotonic()
            heard = _hear(listening, process, 0 if ended_at else TICK_SECONDS)
            now = time.monotonic()
            if ended_at is not None and (not heard or now - ended_at > TICK_SECONDS):
                return True
            if ended_at is None and until is not None and now > until:
                return False
            watch()


def _hear(
    listening: selectors.BaseSelector, process: subprocess.Popen[bytes], seconds: float
) -> bool:
    """Take in what there is within some seconds; with all pipes closed, await the process."""
    if not listening.get_map():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return False
    ready = listening.select(seconds)
    for key, _ in ready:
        content = os.read(key.fd, PIPE_BYTES)
        key.data.take(content)
        if not content:
            listening.unregister(key.fileobj)
        elif key.data.is_full:
            end_group(process)
    return bool(ready)


def end_group(process: Process) -> None:
    """Kill a process and everything in its group; one that is gone already is fine."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        log.debug("process group %d had ended already", process.pid)
