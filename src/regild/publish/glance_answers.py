"""What an Image service answers, read as a stranger's. OpenStack Image API v2, "Show image"."""

from __future__ import annotations

import re
from typing import Final

from regild.errors import Malformed, UnsupportedError
from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.json import from_json

HASHES: Final = ("sha512", "sha256", "sha384", "md5")
"""What images may be hashed with; the last is what services before 2018 have."""
SUFFIXES: Final = {
    ("ova", "vmdk"): ".ova",
    ("ova", "raw"): ".ova",
    ("bare", "qcow2"): ".qcow2",
    ("bare", "raw"): ".raw",
    ("bare", "vmdk"): ".vmdk",
    ("bare", "vhd"): ".vhd",
    ("bare", "vhdx"): ".vhdx",
    ("bare", "vdi"): ".vdi",
}
"""File names' endings by container and disk format."""
SIZE_MAX: Final = 1 << 46
"""64 TiB, as the longest virtual disk."""

_ID = re.compile(r"[0-9A-Fa-f-]{36}")
_HEX = re.compile(r"[0-9a-f]{32,128}")


class Listed(Value, frozen=True):
    """One image as the service shows it, and what regild wrote on it."""

    id: str
    status: str
    name: str | None = None
    size: int | None = None
    owner: str | None = None
    visibility: str = ""
    os_hidden: bool = False
    created_at: str = ""
    container_format: str | None = None
    disk_format: str | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    regild_image: str = ""
    regild_generation: str = ""
    regild_digest: str = ""

    @property
    def number(self) -> int:
        """Of its generation; 0 where it is nobody's."""
        told = self.regild_generation
        return int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0

    @property
    def called(self) -> str:
        """`web@3` for a generation of regild's, else its name."""
        ours = self.regild_image and self.number
        return f"{self.regild_image}@{self.number}" if ours else self.name or self.id

    @property
    def digest(self) -> Digest:
        """Of its bytes, as the service says it; empty where it says none that is to be used."""
        algorithm, told = (self.os_hash_algo or "").lower(), self.os_hash_value or ""
        if algorithm in HASHES and _HEX.fullmatch(told):
            return Digest(f"{algorithm}:{told}")
        plain = self.checksum or ""
        return Digest(f"md5:{plain}" if _HEX.fullmatch(plain) else "")

    def suffix(self) -> str:
        """How a file of it is called at its end.

        Raises: UnsupportedError.
        """
        kind = self.container_format or "", self.disk_format or ""
        if kind not in SUFFIXES:
            raise UnsupportedError(where=self.called, why=f"it is {kind[1]} in {kind[0]}")
        return SUFFIXES[kind]


class Page(Value, frozen=True):
    """A part of a list."""

    images: tuple[Listed, ...]
    next: str = ""


def read_image(content: bytes, where: str) -> Listed:
    """One image.

    Raises: Malformed.
    """
    found = from_json(Listed, content, where)
    if not _ID.fullmatch(found.id) or not 0 <= (found.size or 0) <= SIZE_MAX:
        raise Malformed(where=where, why="an image there has no proper id or size")
    return found


def read_page(content: bytes, where: str) -> Page:
    """A part of a list, whose rest is on the same service.

    Raises: Malformed.
    """
    found = from_json(Page, content, where)
    for one in found.images:
        if not _ID.fullmatch(one.id) or not 0 <= (one.size or 0) <= SIZE_MAX:
            raise Malformed(where=where, why="an image there has no proper id or size")
    if found.next and not found.next.startswith("/v2/images?"):
        raise Malformed(where=where, why="its list goes on elsewhere")
    return found
