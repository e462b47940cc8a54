"""Which calls of the kernel a stranger's code may make: a filter that bubblewrap puts in place.

Programs of a guest get everything that installing packages takes, and nothing that reaches parts of
the kernel which name spaces do not cover: modules, tracing, keys, clocks, the kernel's log, mounts,
name spaces within name spaces, rings of asynchronous calls, families of sockets that see past a
network name space. libseccomp compiles the list, for every form of call that the processor knows.
Source: seccomp(2), seccomp_rule_add(3), seccomp_export_bpf(3); the reasons stand in ADR 0052.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator

from regild.errors import HostError, ToolMissing

FORBIDDEN = (
    *("mount", "umount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "setns", "unshare", "open_by_handle_at"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("swapon", "swapoff", "quotactl", "quotactl_fd", "acct", "syslog", "vhangup", "nfsservctl"),
    *("settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime"),
    *("clock_adjtime64", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm"),
    *("modify_ldt", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
    *("pidfd_getfd", "kcmp", "bpf", "perf_event_open", "userfaultfd", "fanotify_init"),
    *("lookup_dcookie",),
    *("add_key", "request_key", "keyctl"),
)
"""Answered with "not permitted"."""

UNKNOWN = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "socketcall")
"""Answered as by a kernel that lacks them, so that programs take the older way: what they ask for
lies in memory, where a filter cannot look."""

NEW_SPACES = (
    *(0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000),
)
"""Flags of clone(2) that make a name space: mount, cgroup, uts, ipc, user, pid, network."""

FAMILIES = (0, 1, 2, 10, 16)
"""Sockets that may be made: unspecified, local, IPv4, IPv6, netlink (socket(2))."""
FAMILY_LAST = 45
"""AF_MCTP, the last that Linux 6.12 knows; what comes later is refused as a whole."""

TERMINAL_INPUT = (0x5412, 0x541C)
"""ioctl TIOCSTI and TIOCLINUX, which put words into the terminal of whoever started us."""

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EQUAL, GREATER, MASKED_EQUAL = 4, 6, 7
BAD_ARCHITECTURE = 2
OTHER_FORMS = {"x86_64": (b"x86",), "aarch64": (b"arm",)}
"""Forms of call that a guest's programs may use beside the processor's own, by machine; any other
(x32, too) is answered as by a kernel that lacks it."""


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


@contextlib.contextmanager
def open_filter(allowed: frozenset[str] = frozenset()) -> Iterator[int]:
    """A file descriptor that holds the filter, for one `bwrap --seccomp`; calls that are `allowed`
    by name pass it.

    Raises: ToolMissing when libseccomp is not installed, HostError when it refuses the list.
    """
    library = _load()
    rules = library.seccomp_init(ALLOW)
    if not rules:
        raise HostError(where="a filter of system calls", why="libseccomp has no memory for it")
    file = os.memfd_create("filter")
    try:
        _fill(library, ctypes.c_void_p(rules), allowed)
        _expect(library.seccomp_export_bpf(ctypes.c_void_p(rules), file), "seccomp_export_bpf")
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)
        library.seccomp_release(ctypes.c_void_p(rules))


def _fill(library: ctypes.CDLL, rules: ctypes.c_void_p, allowed: frozenset[str]) -> None:
    """Put the list into the library's own form."""
    _expect(
        library.seccomp_attr_set(rules, BAD_ARCHITECTURE, ERRNO | errno.ENOSYS), "seccomp_attr_set"
    )
    for form in OTHER_FORMS.get(os.uname().machine, ()):
        token = library.seccomp_arch_resolve_name(form)
        _expect(library.seccomp_arch_add(rules, token), "seccomp_arch_add")
    for name in sorted({*FORBIDDEN} - allowed):
        _refuse(library, rules, name, errno.EPERM)
    for name in UNKNOWN:
        _refuse(library, rules, name, errno.ENOSYS)
    for flag in NEW_SPACES:
        _refuse(library, rules, "clone", errno.EPERM, _Compare(0, MASKED_EQUAL, flag, flag))
    for family in range(FAMILY_LAST + 1):
        if family not in FAMILIES:
            equal = _Compare(0, EQUAL, family, 0)
            _refuse(library, rules, "socket", errno.EAFNOSUPPORT, equal)
    later = _Compare(0, GREATER, FAMILY_LAST, 0)
    _refuse(library, rules, "socket", errno.EAFNOSUPPORT, later)
    for request in TERMINAL_INPUT:
        low = _Compare(1, MASKED_EQUAL, 0xFFFFFFFF, request)
        _refuse(library, rules, "ioctl", errno.EPERM, low)


def _refuse(
    library: ctypes.CDLL, rules: ctypes.c_void_p, name: str, code: int, *when: _Compare
) -> None:
    """Answer one call with an error, always or when an argument is so.

    A call that this libseccomp has no name for is younger than its release, and an older kernel
    may well have it all the same: then the filter would have a hole, so it is refused.
    """
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == -1:
        why = f"this libseccomp does not know {name}"
        raise HostError(where="a filter of system calls", why=why)
    wanted = (_Compare * len(when))(*when)
    done = library.seccomp_rule_add_array(rules, ERRNO | code, number, len(when), wanted)
    _expect(done, f"seccomp_rule_add {name}")


def _expect(done: int, what: str) -> None:
    if done != 0:
        raise HostError(where="a filter of system calls", why=f"{what}: {os.strerror(-done)}")


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        why = "to keep a guest's code away from the kernel"
        raise ToolMissing(where="libseccomp", why=why, package="libseccomp2") from error
    place, number, flag = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int
    library.seccomp_init.restype = place
    library.seccomp_arch_resolve_name.restype = number
    for name, *arguments in (
        ("seccomp_init", number),
        ("seccomp_release", place),
        ("seccomp_attr_set", place, flag, number),
        ("seccomp_arch_resolve_name", ctypes.c_char_p),
        ("seccomp_arch_add", place, number),
        ("seccomp_syscall_resolve_name", ctypes.c_char_p),
        ("seccomp_rule_add_array", place, number, flag, ctypes.c_uint, place),
        ("seccomp_export_bpf", place, flag),
    ):
        getattr(library, name).argtypes = arguments
    return library
