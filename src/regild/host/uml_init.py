"""The first process of a user-mode kernel: runs one function of regild, answers, powers off.

Its root is the caller's, read only, through hostfs; only the folder that it answers in can be
written to. Nothing here trusts what is mounted: see `regild.change.inside`.
Source: mount(2), umount(2), reboot(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from regild.errors import HostError, RegildError, UnsupportedFilesystem
from regild.host.uml import ANSWER, MOUNTS, REQUEST

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_BIND = 1024, 4096
POWER_OFF: Final = 0x4321FEDC
FINIT_MODULE: Final = 313
"""finit_module(2) on x86-64, of which alone there is a user-mode kernel in Debian."""
MODULES: Final = "/usr/lib/uml/modules"
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def mounted(
    number: int, kind: str, folder: Path, *, writable: bool, options: str = ""
) -> Iterator[Path]:
    """Mount the drive of a number while the block runs; where.

    Raises: UnsupportedFilesystem with the kernel's words, HostError where it cannot be let go of.
    """
    place = folder / MOUNTS / str(number)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | (0 if writable else MS_RDONLY)
    _mount(device(number), str(place), kind, flags, options)
    try:
        yield place
    finally:
        if LIBC.umount2(str(place).encode(), 0) != 0:
            why = f"it does not let go of {kind}: {_word()}"
            raise HostError(where="the user-mode kernel", why=why)


def mount_at(source: str, place: Path, kind: str, *, read_only: bool, options: str = "") -> None:
    """Mount a device in a folder until the kernel ends.

    Raises: UnsupportedFilesystem with the kernel's words.
    """
    flags = MS_NODEV | MS_NOATIME | (MS_RDONLY if read_only else 0)
    _mount(source, str(place), kind, flags, options)


def show_at(source: Path, place: Path) -> None:
    """Show a folder in another place too, until the kernel ends."""
    _mount(str(source), str(place), "none", MS_BIND)


def load_module(path: str) -> None:
    """Load a part of this kernel that is not built into it, by its place below the modules' folder.

    Raises: HostError.
    """
    with Path(f"{MODULES}/{os.uname().release}/kernel/{path}").open("rb") as file:
        if LIBC.syscall(FINIT_MODULE, file.fileno(), b"", 0) != 0:
            raise HostError(where="the user-mode kernel", why=f"{path} is not loaded: {_word()}")


def device(number: int) -> str:
    """What a drive is called in the kernel."""
    return f"/dev/ubd{chr(ord('a') + number)}"


def main(argv: list[str]) -> None:
    """Run the module's `main` over the request in the folder, and leave the answer there."""
    module, folder = argv[1], Path(argv[2])
    try:
        # Programs with setuid belong to nobody in the name space around: they would give up rights.
        _mount("none", "/", "hostfs", MS_REMOUNT | MS_RDONLY | MS_NOSUID)
        _mount("none", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        _mount("none", str(folder), "hostfs", MS_NOSUID | MS_NODEV, str(folder))
        request = json.loads((folder / REQUEST).read_bytes())
        told = {"result": importlib.import_module(module).main(request, folder)}
    except RegildError as error:
        told = {"error": type(error).__name__, "facts": error.facts()}
    except BaseException as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        told = {"error": "HostError", "facts": {"where": "the user-mode kernel", "why": why}}
    (folder / ANSWER).write_text(json.dumps(told))


def _mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    words = [word.encode() for word in (source, place, kind)]
    if LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()) != 0:
        raise UnsupportedFilesystem(where=kind, why=_word())


def _word() -> str:
    return os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    try:
        main(sys.argv)
    finally:
        os.sync()
        LIBC.reboot(POWER_OFF)
