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

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 1, 2, 4, 8, 1024
POWER_OFF: Final = 0x4321FEDC
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


def device(number: int) -> str:
    """What a drive is called in the kernel."""
    return f"/dev/ubd{chr(ord('a') + number)}"


def main(argv: list[str]) -> None:
    """Run the module's `main` over the request in the folder, and leave the answer there."""
    module, folder = argv[1], Path(argv[2])
    try:
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
