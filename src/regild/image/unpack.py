"""Unpacking the compressed blocks of filesystems, with a limit to what comes out.

The library's own ways through xz, LZMA and zstd have none: one block of a hostile squashfs takes a
megabyte and could become gigabytes. These stand in their place.
"""

from __future__ import annotations

import lzma
import sys

from fs_explorer.codecs import registry
from fs_explorer.errors import CorruptDataError

BLOCK_LIMIT = 16 << 20
"""What a block may become where its filesystem does not say; the largest are squashfs's, 1 MiB."""
DECODER_BYTES_MAX = 128 << 20
"""Memory for one decoder; a dictionary need not be larger than a block."""


def put_in_place(backend: str) -> None:
    """Let the library unpack through this module."""
    for codec, unpack in (("xz", from_xz), ("lzma", from_xz), ("zstd", from_zstd)):
        registry._resolved[codec, backend] = ("bounded", unpack)


def from_xz(content: bytes, limit: int | None) -> bytes:
    """A stream of xz, or of LZMA with its old header (squashfs's "lzma").

    Raises: CorruptDataError.
    """
    form = lzma.FORMAT_XZ if content.startswith(b"\xfd7zXZ\0") else lzma.FORMAT_ALONE
    try:
        machine = lzma.LZMADecompressor(form, memlimit=DECODER_BYTES_MAX)
        return machine.decompress(content, BLOCK_LIMIT if limit is None else limit)
    except (lzma.LZMAError, EOFError) as error:
        raise CorruptDataError(f"xz: {error}") from error


def from_zstd(content: bytes, limit: int | None) -> bytes:
    """Frames of zstd behind one another; zeros behind them are btrfs filling a sector up.

    Raises: CorruptDataError.
    """
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    longest = {int(zstd.DecompressionParameter.window_log_max): DECODER_BYTES_MAX.bit_length() - 1}
    left = BLOCK_LIMIT if limit is None else limit
    parts: list[bytes] = []
    while content.strip(b"\0") and left > 0:
        machine = zstd.ZstdDecompressor(options=longest)
        try:
            parts.append(machine.decompress(content, left))
        except (zstd.ZstdError, EOFError) as error:
            raise CorruptDataError(f"zstd: {error}") from error
        left -= len(parts[-1])
        if not machine.eof:
            break
        content = machine.unused_data
    return b"".join(parts)
