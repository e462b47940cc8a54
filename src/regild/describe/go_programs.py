r"""Go programs: the modules that the linker wrote into them (Go's package debug/buildinfo: a block
that begins with `\xff Go buildinf:`, in the section .go.buildinfo of an ELF file).

Only the file's header, its sections and the block itself are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from regild.errors import Malformed
from regild.model.content import Package
from regild.model.purl import package_url

MAGIC = b"\xff Go buildinf:"
BLOCK_BYTES = 32
SECTIONS_MAX = 512
MODULES_LIMIT = 1 << 20
"""Text about modules in one program; the largest seen hold some 60 kB."""
MODULES_MAX = 10_000

_FRAME = 16
"""Bytes before and behind the text about modules, by which the linker finds it again."""
_VERSION = re.compile(r"go[0-9][A-Za-z0-9.+_-]{0,60}")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~/!+-]{0,300}")
_RELEASE = re.compile(r"v[0-9][A-Za-z0-9.+_-]{0,127}|\(devel\)")

Part = Callable[[int, int], bytes]
"""Some bytes of the file: from where, how many."""


def read_go(part: Part, path: str) -> Iterator[Package]:
    """The modules of a Go program and the Go that built it; nothing of any other file.

    Raises: Malformed when it is a Go program that contradicts itself; what `part` raises.
    """
    head = part(0, 64)
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return
    block = _block(part, head, path)
    if block is None:
        return
    version, text = block
    if _VERSION.fullmatch(version):
        yield _package("stdlib", version.removeprefix("go"), path)
    replaced: tuple[str, str] | None = None
    rows: list[tuple[str, str]] = []
    for line in text.splitlines()[:MODULES_MAX]:
        fields = line.split("\t")
        if fields[0] in ("mod", "dep") and len(fields) >= 3:
            rows.append((fields[1], fields[2]))
        elif fields[0] == "=>" and len(fields) >= 3 and rows:
            replaced = fields[1], fields[2]
            rows[-1] = replaced
    for name, release in rows:
        if _MODULE.fullmatch(name) and _RELEASE.fullmatch(release):
            yield _package(name, release, path)


def _block(part: Part, head: bytes, path: str) -> tuple[str, str] | None:
    """The version of Go and the text about modules; None where it is no Go program."""
    wide = head[4] == 2
    order = {1: "<", 2: ">"}.get(head[5], "")
    if not order or head[4] not in (1, 2):
        return None
    places = _sections(part, head, order, wide)
    for name, address, offset, size in places:
        if name == ".go.buildinfo" and size >= BLOCK_BYTES:
            start = part(offset, BLOCK_BYTES)
            if start.startswith(MAGIC):
                return _told(part, start, offset, places, address, path)
    return None


Section = tuple[str, int, int, int]
"""Name, address in memory, place and size in the file."""


def _sections(part: Part, head: bytes, order: str, wide: bool) -> list[Section]:
    """The sections of an ELF file (System V ABI, "Section Header Table")."""
    (table,) = struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 40 if wide else 32)
    each, count, names = struct.unpack_from(f"{order}HHH", head, 58 if wide else 46)
    if each != (64 if wide else 40) or not names < count <= SECTIONS_MAX:
        return []
    form = struct.Struct(f"{order}IIQQQQ" if wide else f"{order}IIIIII")
    content = part(table, each * count)
    if len(content) != each * count:
        return []
    rows = [form.unpack_from(content, each * number) for number in range(count)]
    begin, length = rows[names][4:6]
    text = part(begin, min(length, 1 << 16))
    return [
        (text[row[0] : text.find(b"\0", row[0])].decode("latin-1"), row[3], row[4], row[5])
        for row in rows
        if row[0] < len(text)
    ]


def _told(
    part: Part, start: bytes, offset: int, places: list[Section], address: int, path: str
) -> tuple[str, str]:
    if start[15] & 2:  # since Go 1.18 the texts follow the block
        content = part(offset + BLOCK_BYTES, MODULES_LIMIT)
        version, rest = _counted(content, path)
        modules, _ = _counted(rest, path)
        return version.decode("latin-1"), _framed(modules)
    version = _pointed(part, start, 0, places, path)
    return version.decode("latin-1"), _framed(_pointed(part, start, 1, places, path))


def _counted(content: bytes, path: str) -> tuple[bytes, bytes]:
    """A text behind its length (encoding/binary's Uvarint), and what follows."""
    length, shift = 0, 0
    for at, byte in enumerate(content[:10]):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if length > len(content) - at - 1:
                break
            return content[at + 1 : at + 1 + length], content[at + 1 + length :]
    raise Malformed(where=path, why="what Go wrote into the program is cut off")


def _pointed(part: Part, start: bytes, field: int, places: list[Section], path: str) -> bytes:
    """A text that the block points at, as Go before 1.18 wrote it: the address of its address and
    length."""
    width, order = start[14], ">" if start[15] & 1 else "<"
    if width not in (4, 8):
        raise Malformed(where=path, why="what Go wrote into the program has no width")
    sign = "I" if width == 4 else "Q"
    (where,) = struct.unpack_from(order + sign, start, 16 + field * width)
    place = _at(places, where)
    if not where or place is None:
        return b""
    pair = part(place, 2 * width)
    if len(pair) < 2 * width:
        raise Malformed(where=path, why="what Go wrote into the program is cut off")
    address, length = struct.unpack(f"{order}2{sign}", pair)
    begin = _at(places, address)
    if begin is None or length > MODULES_LIMIT:
        raise Malformed(where=path, why="what Go wrote into the program leads nowhere")
    return part(begin, length)


def _at(places: list[Section], address: int) -> int | None:
    """The place in the file of an address in memory."""
    for _name, begin, offset, size in places:
        if begin and begin <= address < begin + size:
            return offset + address - begin
    return None


def _framed(content: bytes) -> str:
    """The text about modules without its frame."""
    whole = len(content) > 2 * _FRAME and content[-_FRAME - 1 : -_FRAME] == b"\n"
    return _as_text(content[_FRAME:-_FRAME]) if whole else ""


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _package(name: str, version: str, where: str) -> Package:
    namespace, _, bare = name.rpartition("/")
    return Package(
        type="golang",
        name=name,
        version=version,
        source=name,
        source_version=version,
        purl=package_url("golang", bare, version, namespace=namespace),
        where=where,
    )
