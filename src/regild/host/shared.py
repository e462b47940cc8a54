"""A folder that many processes use at once, and that one of them may have for itself to put it in
order.

The lock dies with its process (flock(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from regild.errors import Busy
from regild.host.files import translated

LOCK = "use.lock"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def using(folder: Path) -> Iterator[None]:
    """Use a folder with others; who has it for himself is waited for, which takes a moment.

    Where nothing can be written, nobody can put it in order either.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, _FLAGS, 0o666)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def having(folder: Path) -> Iterator[None]:
    """Have a folder that is there for this process alone.

    Raises: Busy when somebody uses it, MissingFile, NotPermitted.
    """
    with translated(folder):
        lock = os.open(folder / LOCK, _FLAGS, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(where=str(folder), why="another regild works with it") from error
        yield
    finally:
        os.close(lock)
