"""UEFI firmware for virtual machines: TianoCore's OVMF, as distributions ship it.

Only the builds without secure boot, which run on the plain machine of QEMU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from regild.errors import ToolMissing

PLACES: Final = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)


def read_firmware() -> tuple[bytes, bytes]:
    """The firmware's code, and its variables as they are before a first boot.

    Raises: ToolMissing.
    """
    for code, variables in PLACES:
        if Path(code).is_file() and Path(variables).is_file():
            return Path(code).read_bytes(), Path(variables).read_bytes()
    raise ToolMissing(where="OVMF", why="to boot a guest by UEFI", package="ovmf")
