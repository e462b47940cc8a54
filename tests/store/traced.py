"""A process that is killed by its tracer before the nth system call that changes something.

ptrace(2) stops a child at every system call. Those that change no file and no database cannot make
a difference, so killing before each of the others is killing between any two of all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import traceback
from collections.abc import Callable

import pytest

TRACE_ME, SYSCALL, SET_OPTIONS, SYSCALL_INFO = 0, 24, 0x4200, 0x420E
GOOD, EXIT_KILL = 0x01, 0x100000
STOP = signal.SIGTRAP | 0x80
ENTRY = 1
CHANGES = {
    1: "write",
    18: "pwrite64",
    20: "writev",
    26: "msync",
    40: "sendfile",
    73: "flock",
    74: "fsync",
    75: "fdatasync",
    76: "truncate",
    77: "ftruncate",
    82: "rename",
    83: "mkdir",
    84: "rmdir",
    86: "link",
    87: "unlink",
    257: "openat",
    258: "mkdirat",
    263: "unlinkat",
    264: "renameat",
    265: "linkat",
    285: "fallocate",
    316: "renameat2",
    326: "copy_file_range",
}
"""Of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl)."""
MAKES = os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)


class _Info(ctypes.Structure):
    """What ptrace(2) says of a stop at a system call (PTRACE_GET_SYSCALL_INFO)."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def run_traced(work: Callable[[], object], last: int | None = None) -> list[str]:
    """Do some work in a child, which is killed before change number `last` + 1; the changes that it
    made. Skips the test where this machine cannot trace."""
    if platform.machine() != "x86_64":
        pytest.skip("system calls are known by their numbers on x86_64 only")
    child = os.fork()
    if child == 0:
        _be_traced(work)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        pytest.skip("this machine lets nobody trace: ptrace(2) is refused")
    _ptrace(SET_OPTIONS, child, GOOD | EXIT_KILL)
    made: list[str] = []
    passed = 0
    while True:
        _ptrace(SYSCALL, child, passed)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            assert status == 0, f"the work failed: {status}"
            return made
        passed = 0 if os.WSTOPSIG(status) == STOP else os.WSTOPSIG(status)
        if passed == 0 and (name := _change(child)):
            if last is not None and len(made) == last:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return made
            made.append(name)


def _be_traced(work: Callable[[], object]) -> None:
    code = 1
    with contextlib.suppress(BaseException):
        if _libc.ptrace(TRACE_ME, 0, None, None) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                work()
                code = 0
            except BaseException:
                traceback.print_exc()
    os._exit(code)


def _change(child: int) -> str:
    """The system call that a child is about to make, where it changes something."""
    info = _Info()
    size = ctypes.sizeof(info)
    _libc.ptrace(SYSCALL_INFO, child, ctypes.c_void_p(size), ctypes.addressof(info))
    name = CHANGES.get(info.nr, "") if info.op == ENTRY else ""
    return "" if name == "openat" and not info.args[2] & MAKES else name


def _ptrace(request: int, child: int, value: int) -> None:
    if _libc.ptrace(request, child, None, value) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")
