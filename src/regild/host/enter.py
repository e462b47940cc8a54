"""The first program of a new name space: takes its id map, builds its root, runs one command.

Run as `python enter.py READY GO VIEW COMMAND...` by `regild.host.namespace`, which writes the id
map between the two pipes. VIEW is JSON: `binds` (rows of source, place, writable), `links` (rows of
place, target) and `memory` (bytes of address space for each process, or null). It imports nothing
of regild, so that it starts fast and holds little.

The sources are opened before the ids change, because until then the caller's own folders can be
passed through; afterwards nothing of the machine is visible but the binds.
Source: user_namespaces(7), pid_namespaces(7), mount_setattr(2), pivot_root(2), prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
EVERYTHING = (
    CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
)

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 1
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_MOUNT_SETATTR = 442
PR_SET_PDEATHSIG = 1

ROOT = "/tmp"
"""Where the new root is built: a folder that every machine has and everybody may pass through."""

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

NOT_ALLOWED = 125
"""Exit status when the name space itself cannot be made (the command's own are passed on)."""
SIGNALLED = 128
"""Added to the number of the signal that ended the command, as a shell does."""

TASKS = 4096
"""Processes and threads that all inside may be together; apt with java and initramfs needs 50."""
NOBODY = 65534

LIBC = ctypes.CDLL(None, use_errno=True)


def main(argv: list[str]) -> int:
    """Enter new name spaces and run the command as their first process; its status is ours."""
    ready, go, view, command = int(argv[1]), int(argv[2]), json.loads(argv[3]), argv[4:]
    parent = os.getppid()
    try:
        _limit(view["memory"])
        _check(LIBC.unshare(EVERYTHING), "unshare")
        os.write(ready, b"1")
        if os.read(go, 1) != b"1":
            return NOT_ALLOWED
        os.close(ready)
        os.close(go)
        sources = [os.open(row[0], os.O_PATH) for row in view["binds"]]
        devices = [os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES]
        _become_root(parent)
        _build(view, sources, devices)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return NOT_ALLOWED
    return _run_first(command)


def _limit(memory: int | None) -> None:
    """Bound what all inside may take together: a guest's scripts fork and allocate as they like.

    The kernel holds a user name space to the process limit of its maker, unless that is the
    machine's root (user_namespaces(7), create_user_ns): so the real id is another one by then. It
    counts the maker's own processes too, hence on top of all that there are.
    """
    with open("/proc/loadavg") as load:
        tasks = int(load.read().split()[3].partition("/")[2]) + TASKS
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    tasks = tasks if hard == resource.RLIM_INFINITY else min(tasks, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # when memory runs out, the kernel ends these before anything else
    if os.getuid() == 0:
        os.setresuid(NOBODY, 0, 0)


def _build(view: dict[str, list[list[str]]], sources: list[int], devices: list[int]) -> None:
    """Make a root folder over /tmp, of which this name space has its own, and bind into it."""
    _mount(b"none", b"/", b"", MS_REC | MS_PRIVATE)
    _mount(b"tmpfs", ROOT.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=0755,size=16m")
    for source, (_, place, writable) in zip(sources, view["binds"], strict=True):
        _bind(source, ROOT + place, bool(writable))
    for device, name in zip(devices, DEVICES, strict=True):
        _bind(device, f"{ROOT}/dev/{name}", True)
    for place, target in view["links"]:
        os.makedirs(os.path.dirname(ROOT + place), exist_ok=True)
        os.symlink(target, ROOT + place)
    for name in ("proc", "tmp", "old"):
        os.makedirs(f"{ROOT}/{name}", exist_ok=True)


def _bind(source: int, place: str, writable: bool) -> None:
    """Show an opened file or folder of the machine at a place, with all mounted below it."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb"):
            pass
    _mount(f"/proc/self/fd/{source}".encode(), place.encode(), b"", MS_BIND | MS_REC)
    os.close(source)
    if not writable:
        wanted = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
        done = LIBC.syscall(
            SYS_MOUNT_SETATTR, AT_FDCWD, place.encode(), AT_RECURSIVE, ctypes.byref(wanted), 32
        )
        _check(done, f"mount_setattr {place}")


def _become_root(parent: int) -> None:
    """Take id 0 of the map; ending with the caller is asked for last, as ids clear it."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be asked for
        sys.exit(NOT_ALLOWED)


def _run_first(command: list[str]) -> int:
    """Run the command as process 1 of the new pid name space: when it ends, all others do."""
    alive_in, alive_out = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(alive_out)
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            _check_alive(alive_in)
            _pivot()
            os.execv(command[0], command)
        except OSError as error:
            print(f"{error.filename or command[0]}: {error.strerror}", file=sys.stderr)
        finally:
            os._exit(NOT_ALLOWED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code


def _check_alive(pipe: int) -> None:
    """Stop when the parent has ended already; its number cannot be seen from in here."""
    if select.select([pipe], [], [], 0)[0]:
        os._exit(NOT_ALLOWED)
    os.close(pipe)


def _pivot() -> None:
    """Leave the machine's folders behind; /proc shows only the new name space."""
    _mount(b"proc", f"{ROOT}/proc".encode(), b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(ROOT)
    number = SYS_PIVOT_ROOT.get(os.uname().machine, 41)
    _check(LIBC.syscall(number, b".", b"old"), "pivot_root")
    os.chdir("/")
    _check(LIBC.umount2(b"/old", MNT_DETACH), "umount old root")
    os.rmdir("/old")
    # Further name spaces are how most holes of the kernel are reached; nobody in here needs one.
    with contextlib.suppress(OSError), open("/proc/sys/user/max_user_namespaces", "w") as most:
        most.write("0")


def _mount(source: bytes, place: bytes, kind: bytes, flags: int, options: bytes = b"") -> None:
    done = LIBC.mount(source, place, kind, ctypes.c_ulong(flags), options)
    _check(done, f"mount {place.decode(errors='replace')}")


def _check(done: int, what: str) -> None:
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
