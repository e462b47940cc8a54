"""Java archives: what Maven and manifests say of them, and of the archives inside of them (JAR File
Specification; Maven's `META-INF/maven/*/*/pom.properties`).

An archive is read in place and by pieces: its directory, and the few small files that say who it
is. Archives inside of an archive, as in a Spring Boot program or a .war, are looked at once.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from regild.errors import Malformed, TooLarge
from regild.model.content import Package
from regild.model.purl import package_url

ENDINGS = (".jar", ".war", ".ear", ".jpi", ".hpi")
DIRECTORY_LIMIT = 4 << 20
"""The directory of an archive; one of 30,000 classes takes about 3 MB."""
TEXT_LIMIT = 256 << 10
INNER_LIMIT = 64 << 20
INNER_TOTAL = 512 << 20
INNER_COUNT = 2_000

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR_BYTES = 20
_POM = re.compile(r"META-INF/maven/[^/]{1,200}/[^/]{1,200}/pom\.properties")
_NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9._-]*?)-(?P<version>[0-9][A-Za-z0-9.+_-]*)")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


class PartedFile(io.RawIOBase):
    """A file of the guest that is read by pieces, as Python wants to read files."""

    def __init__(self, part: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._part, self._size, self._at = part, size, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer."""
        view = memoryview(buffer)
        content = self._part(self._at, min(len(view), max(0, self._size - self._at)))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def read_jar(file: BinaryIO, size: int, path: str) -> Iterator[Package]:
    """The packages of Maven that an archive holds.

    Raises: Malformed, TooLarge; what the file raises.
    """
    room = [INNER_TOTAL, INNER_COUNT]
    yield from _read(file, size, path.rpartition("/")[2], path, room, outer=True)


def _read(
    file: BinaryIO, size: int, name: str, where: str, room: list[int], outer: bool
) -> Iterator[Package]:
    _check_directory(file, size, where)
    try:
        with zipfile.ZipFile(file) as archive:
            yield from _own(archive, name, where)
            for member in archive.infolist() if outer else ():
                if member.filename.endswith(ENDINGS) and not member.is_dir():
                    room[0] -= member.file_size
                    room[1] -= 1
                    if min(room) < 0 or member.file_size > INNER_LIMIT:
                        raise TooLarge(where=where, why="it holds too many archives, or too large")
                    inner = _unpacked(archive, member, INNER_LIMIT, where)
                    short = member.filename.rpartition("/")[2]
                    yield from _read(io.BytesIO(inner), len(inner), short, where, room, False)
    except (zipfile.BadZipFile, zlib.error, ValueError, struct.error, EOFError, OSError) as error:
        raise Malformed(where=where, why=f"it is no sound archive: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise Malformed(where=where, why=f"a part of it cannot be read: {error}") from error


def _check_directory(file: BinaryIO, size: int, where: str) -> None:
    """Bound the archive's directory before the library reads it as a whole (APPNOTE.TXT 4.3.16)."""
    file.seek(max(0, size - 65_557))
    tail = file.read(65_557)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise Malformed(where=where, why="it is no archive: the end of its directory is not there")
    if tail[:at][-_LOCATOR_BYTES:].startswith(b"PK\x06\x07"):
        # The library would believe what that leads to, of a directory of any length (4.3.15).
        raise TooLarge(where=where, why="its directory is one for archives of over 4 GiB")
    length, begin = _END.unpack_from(tail, at)[5:7]
    if 0xFFFFFFFF in (length, begin) or length > DIRECTORY_LIMIT:
        raise TooLarge(where=where, why=f"its directory holds {length} bytes")


def _own(archive: zipfile.ZipFile, name: str, where: str) -> Iterator[Package]:
    """What an archive is itself; a merged one names several."""
    poms = [one for one in archive.infolist() if _POM.fullmatch(one.filename)]
    found = False
    for member in poms[:INNER_COUNT]:
        stated = _properties(_unpacked(archive, member, TEXT_LIMIT, where))
        parts = [stated.get(key, "") for key in ("groupId", "artifactId", "version")]
        if all(_WORD.fullmatch(part) for part in parts):
            found = True
            yield _package(parts[0], parts[1], parts[2], where)
    if not found:
        yield from _by_manifest(archive, name, where)


def _by_manifest(archive: zipfile.ZipFile, name: str, where: str) -> Iterator[Package]:
    """By the name that the file has, with the version of the manifest where that has none."""
    stated: dict[str, str] = {}
    if "META-INF/MANIFEST.MF" in archive.NameToInfo:
        member = archive.getinfo("META-INF/MANIFEST.MF")
        text = _unpacked(archive, member, TEXT_LIMIT, where).decode("utf-8", "replace")
        for line in re.sub(r"\r?\n ", "", text).splitlines():
            key, colon, value = line.partition(":")
            if colon:
                stated.setdefault(key.strip(), value.strip())
    stem = name.rpartition(".")[0]
    named = _NAMED.fullmatch(stem)
    versions = (stated.get(key, "") for key in ("Implementation-Version", "Bundle-Version"))
    version = named["version"] if named else next((one for one in versions if one), "")
    artifact = named["name"] if named else stem
    group = stated.get("Implementation-Vendor-Id", "")
    if _WORD.fullmatch(artifact) and _WORD.fullmatch(version):
        yield _package(group if _WORD.fullmatch(group) else "", artifact, version, where)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int, where: str) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Malformed(where=where, why=f"{member.filename[:80]!r} is packed in an unusual way")
    with archive.open(member) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(where=where, why=f"{member.filename[:80]!r} holds over {limit} bytes")
    return content


def _properties(content: bytes) -> dict[str, str]:
    """The plain lines of a properties file."""
    lines = (line.partition("=") for line in content.decode("latin-1").splitlines())
    return {key.strip(): value.strip() for key, equals, value in lines if equals}


def _package(group: str, artifact: str, version: str, where: str) -> Package:
    name = f"{group}:{artifact}" if group else artifact
    return Package(
        type="maven",
        name=name,
        version=version,
        source=name,
        source_version=version,
        purl=package_url("maven", artifact, version, namespace=group),
        where=where,
    )


def as_file(part: Callable[[int, int], bytes], size: int) -> BinaryIO:
    """A file of the guest with a buffer before it."""
    return cast(BinaryIO, io.BufferedReader(PartedFile(part, size), 64 << 10))
