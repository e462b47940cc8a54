"""Inside a .deb: its control file and single files, read as a stream within limits.

A .deb is an ar archive of two tar archives, control and data, each compressed in its own way.
Source: deb(5) of dpkg; ar(5).
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from regild.errors import Malformed, TooLarge, Truncated
from regild.host.decompress import UNPACKERS, Reader, open_unpacked
from regild.host.files import translated

AR_MAGIC = b"!<arch>\n"
HEADER_BYTES = 60
MEMBERS_MAX = 16
CONTROL_BYTES_MAX = 4 << 20
FILE_BYTES_MAX = 64 << 20
UNPACKED_BYTES_MAX = 16 << 30
"""The largest packages of Debian unpack to about 5 GB."""

FOREIGN = (tarfile.TarError, EOFError, ValueError)


def read_control(path: Path) -> str:
    """The text of a package's control file.

    Raises: Malformed, Truncated, TooLarge, MissingFile.
    """
    content = find_control_file(path, "control")
    if content is None:
        raise Malformed(where=str(path), why="it has no control file")
    return content.decode(errors="replace")


def find_control_file(path: Path, wanted: str) -> bytes | None:
    """One of the files beside the control file, such as `conffiles`; None where there is none.

    Raises: as `read_control`.
    """
    for name, file in _members(path, "control.tar"):
        if name in (wanted, f"./{wanted}"):
            return _read_limited(file, CONTROL_BYTES_MAX, path)
    return None


def read_files(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The regular files of a package whose path (`./usr/...` as `/usr/...`) is wanted.

    Raises: as `read_control`.
    """
    for name, file in _members(path, "data.tar"):
        place = "/" + name.removeprefix("./").lstrip("/")
        if wanted(place):
            yield place, _read_limited(file, FILE_BYTES_MAX, path)


@contextmanager
def open_archive(path: Path, part: str) -> Iterator[tarfile.TarFile]:
    """One of the two archives, to be read from front to back.

    Raises: as `read_control`.
    """
    with translated(path), path.open("rb") as deb, _opened_part(deb, part, path) as unpacked:
        try:
            with tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r|") as archive:
                yield archive
        except FOREIGN as error:
            raise Malformed(where=str(path), why=f"its {part} cannot be read: {error}") from error


def _members(path: Path, part: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of one of the two archives."""
    with open_archive(path, part) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                yield member.name, file


@contextmanager
def _opened_part(deb: IO[bytes], part: str, path: Path) -> Iterator[Reader]:
    """The stream of one archive, unpacked."""
    for name, _, member in read_members(deb, path):
        if name.startswith(part):
            yield unpacked(member, name[len(part) :], path, UNPACKED_BYTES_MAX)
            return
    raise Malformed(where=str(path), why=f"it has no {part}")


def read_members(deb: IO[bytes], path: Path) -> Iterator[tuple[str, bytes, IO[bytes]]]:
    """The members of the archive in order: name, header, and content, which is to be read before
    the next one is asked for.

    Raises: Malformed.
    """
    if deb.read(len(AR_MAGIC)) != AR_MAGIC:
        raise Malformed(where=str(path), why="it is not a Debian package")
    for _ in range(MEMBERS_MAX):
        header = deb.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return
        digits = header[48:58].strip()
        if header[58:60] != b"`\n" or not digits.isdigit():
            raise Malformed(where=str(path), why="its archive is damaged")
        name, size, begin = header[:16].decode("ascii", "replace"), int(digits), deb.tell()
        yield name.strip().rstrip("/"), header, cast(IO[bytes], _Slice(deb, size, path))
        deb.seek(begin + size + size % 2)
    raise Malformed(where=str(path), why=f"it holds {MEMBERS_MAX} members or more")


def unpacked(member: IO[bytes], ending: str, path: Path, most: int) -> Reader:
    """A member without the compression that the end of its name tells, up to `most` bytes.

    Raises: Malformed; reading raises what `open_unpacked` says.
    """
    if ending not in UNPACKERS:
        raise Malformed(where=str(path), why=f"it is compressed as {ending}, which is unknown")
    return open_unpacked(ending, member, str(path), most)


class _Slice:
    """One member of the archive as a stream of its own."""

    def __init__(self, file: IO[bytes], left: int, path: Path) -> None:
        self._file, self._left, self._path = file, left, path

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        content = self._file.read(wanted)
        if not content and wanted:
            raise Truncated(where=str(self._path), why=f"{wanted} bytes are missing")
        self._left -= len(content)
        return content


def _read_limited(file: IO[bytes], limit: int, path: Path) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(where=str(path), why=f"a file in it is over {limit} bytes")
    return content
