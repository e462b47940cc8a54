"""What qemu-img makes up anew each time in a VHD or VHDX, settled by what the disk holds.

So that equal disks give equal files: identities, the time of making, and the name of the tool.
Source: Microsoft, Virtual Hard Disk Image Format Specification (2006), "Hard Disk Footer Format";
MS-VHDX, 2.2.1 to 2.2.3 and 2.6.2.4.
"""

from __future__ import annotations

import os
import struct
import uuid
from pathlib import Path
from typing import IO

from regild.errors import Malformed
from regild.host.files import translated
from regild.image.vhdx import crc32c, item_places
from regild.image.window import open_window

FOOTER_BYTES = 512
_TIME, _TOOL, _SUM, _UUID = 24, 28, 64, 68
_CREATOR_AT, _CREATOR_BYTES = 8, 512
_HEADERS_AT, _HEADER_BYTES = (64 << 10, 128 << 10), 4096
_SEQUENCE = slice(8, 16)
_GUIDS = slice(16, 64)
"""Of the file, of its data, and of a log that is still to be carried out: none."""
_LOG_PLACE = 68
LOG_BYTES_MAX = 64 << 20
PAGE_83 = uuid.UUID("BECA12AB-B2E6-4523-93EF-C309E000C746")


def seal_vhd(path: Path, identity: bytes) -> None:
    """Settle both copies of a dynamic VHD's footer; `identity` is 16 bytes that name the disk.

    Raises: Malformed for anything else.
    """
    with translated(path), path.open("r+b") as file:
        for at in (0, file.seek(0, os.SEEK_END) - FOOTER_BYTES):
            file.seek(at)
            footer = bytearray(file.read(FOOTER_BYTES))
            if not footer.startswith(b"conectix"):
                raise Malformed(where=str(path), why="it is no dynamic VHD")
            footer[_TIME : _TIME + 4] = bytes(4)
            footer[_TOOL : _TOOL + 4] = b"rgld"
            footer[_UUID : _UUID + 16] = identity
            footer[_SUM : _SUM + 4] = bytes(4)
            struct.pack_into(">I", footer, _SUM, ~sum(footer) & 0xFFFFFFFF)
            file.seek(at)
            file.write(footer)


def seal_vhdx(path: Path, identity: bytes) -> None:
    """Settle a VHDX's creator, the identities in its headers, and the disk's own.

    Raises: Malformed for anything else.
    """
    with open_window(path) as window:
        page = item_places(window)[PAGE_83]
    with translated(path), path.open("r+b") as file:
        _put(file, _CREATOR_AT, "regild".encode("utf-16-le").ljust(_CREATOR_BYTES, b"\0"))
        _put(file, page, identity)
        headers = [_header(file, at, path) for at in _HEADERS_AT]
        newer = int(_number(headers[1]) > _number(headers[0]))
        log_bytes, log_at = struct.unpack_from("<IQ", headers[0], _LOG_PLACE)
        if log_bytes > LOG_BYTES_MAX:
            raise Malformed(where=str(path), why=f"its log takes {log_bytes} bytes")
        _put(file, log_at, bytes(log_bytes))  # it was carried out, and names itself by a chance
        for number, (at, header) in enumerate(zip(_HEADERS_AT, headers, strict=True)):
            header[_SEQUENCE] = (1 + (number == newer)).to_bytes(8, "little")
            header[_GUIDS] = identity * 2 + bytes(16)
            header[4:8] = bytes(4)
            struct.pack_into("<I", header, 4, crc32c(bytes(header)))
            _put(file, at, bytes(header))


def _header(file: IO[bytes], at: int, path: Path) -> bytearray:
    file.seek(at)
    header = bytearray(file.read(_HEADER_BYTES))
    if not header.startswith(b"head"):
        raise Malformed(where=str(path), why="it is no VHDX")
    return header


def _number(header: bytearray) -> int:
    """How often a VHDX had been written to; the header with the higher one counts."""
    return int.from_bytes(header[_SEQUENCE], "little")


def _put(file: IO[bytes], at: int, content: bytes) -> None:
    file.seek(at)
    file.write(content)
