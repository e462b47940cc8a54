"""A process of regild's own that begins as a copy of this one, so that nothing is loaded anew.

Starting Python and importing what a solver needs costs 80 ms of a plan; a copy costs 3.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, NoReturn

from regild.host.run import ENVIRONMENT

TASKS = Path("/proc/self/task")
OPEN = Path("/proc/self/fd")
"""Some may lie above what may be opened now (RLIMIT_NOFILE)."""
ENDING_TRIES, ENDING_SECONDS = 20, 0.001
"""How long a thread that was waited for may take to be gone: the kernel needs a moment more."""
LIFELINE = 3
"""In the copy, the end of a pipe to which nobody ever writes."""
UNKNOWN = 1
"""In place of a code that the kernel keeps from us."""


def can_fork() -> bool:
    """Whether one thread alone runs here: a copy has no other, and what others hold locked would
    stay locked in it."""
    for _ in range(ENDING_TRIES):
        try:
            if len(list(TASKS.iterdir())) == 1:
                return True
        except OSError:
            return False
        if threading.active_count() > 1:
            return False
        time.sleep(ENDING_SECONDS)
    return False


class Forked:
    """A copy that runs the `main` of a module, with what `subprocess.Popen` tells of a process."""

    def __init__(self, module: str, complaints: IO[bytes]) -> None:
        asked, answered, alive = os.pipe(), os.pipe(), os.pipe()
        # A signal that came to the copy too early would unwind what is ours there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _become(module, (asked[0], answered[1], complaints.fileno(), alive[0]))
        except OSError:
            for end in (asked[1], answered[0], alive[1]):
                os.close(end)
            raise
        finally:
            for end in (asked[0], answered[1], alive[0]):
                os.close(end)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.stdin: IO[bytes] = os.fdopen(asked[1], "wb")
        self.stdout: IO[bytes] = os.fdopen(answered[0], "rb")
        self._alive, self._code = alive[1], UNKNOWN
        self._is_alive = self._is_there = True

    def wait(self) -> int:
        """End it, where it goes on, and wait for that; the code is negative when a signal ended
        it."""
        if self._is_alive:
            self._is_alive = False
            # A copy that does not lead its group yet hears of nothing else.
            os.close(self._alive)
        if self._is_there:
            with contextlib.suppress(ChildProcessError):  # our caller has SIGCHLD ignored (wait(2))
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._is_there = False
        return self._code


def _become(module: str, pipes: tuple[int, int, int, int]) -> NoReturn:
    """Be the copy: its pipes, the environment that every command sees, and nothing else of ours."""
    code = UNKNOWN
    try:
        try:
            gc.freeze()  # what is garbage of ours would close descriptors that are the copy's now
            os.setsid()
            _forget_signals()
            _keep_only(pipes)
            _end_with_us()
            os.environ.clear()
            os.environ.update(ENVIRONMENT)
            code = int(importlib.import_module(module).main())
        except BaseException as error:  # nothing may reach the caller, who is another process
            traceback.print_exception(error)
        sys.stderr.flush()
    finally:
        os._exit(code)


def _forget_signals() -> None:
    """Let every signal come, and do what it does to a process without handlers."""
    signal.set_wakeup_fd(-1)
    ours = {one for one in signal.valid_signals() if callable(signal.getsignal(one))}
    for one in ours | {signal.SIGINT, signal.SIGTERM, signal.SIGIO, signal.SIGPIPE}:
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _keep_only(pipes: tuple[int, int, int, int]) -> None:
    """Have these four descriptors as 0 to 3, with Python's streams on them, and no others."""
    above = [fcntl.fcntl(one, fcntl.F_DUPFD, LIFELINE + 1) for one in pipes]
    for place, one in enumerate(above):
        os.dup2(one, place)
    os.closerange(LIFELINE + 1, max(int(one.name) for one in OPEN.iterdir()) + 1)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")


def _end_with_us() -> None:
    """Have the kernel end the copy when the one that made it is gone, however that ends: the last
    writer of a pipe that is closed is an event of input (fcntl(2), F_SETOWN), whose signal ends a
    process."""
    fcntl.fcntl(LIFELINE, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE, fcntl.F_SETFL, os.O_RDONLY | os.O_ASYNC)
    if select.select([LIFELINE], [], [], 0)[0]:  # it was gone before the kernel knew of this
        signal.raise_signal(signal.SIGIO)
