"""Sums that are believed, so that damaged inputs come to the code behind them.

A sum guards against bad luck, not against whoever makes an image, who can count too. Damage by
chance would hardly ever pass one, and what stands behind it would never be tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock


class _Empty:
    def digest(self) -> bytes:
        return b""


@contextlib.contextmanager
def sums_believed() -> Iterator[None]:
    """Take every sum of a VHDX, a GPT, LVM's metadata and a LUKS2 header for right."""
    from regild.image import luks_header, lvm, partitions, vhdx

    with contextlib.ExitStack() as stack:
        for module, name, double in (
            (vhdx, "_sealed", lambda _content: True),
            (partitions, "zlib", SimpleNamespace(crc32=lambda *_given: mock.ANY)),
            (lvm, "_crc", lambda _content: mock.ANY),
            (luks_header, "hashlib", SimpleNamespace(new=lambda *_given, **_named: _Empty())),
        ):
            stack.enter_context(mock.patch.object(module, name, double))
        yield
