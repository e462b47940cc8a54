"""Who owns each changed path in a guest of apk.

The old packages are known from before anything ran, the new ones from their own checked files; the
database that the guest's programs have just written is asked nothing.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from regild.change.owners import Owned, Owners, Ran, match_owners
from regild.errors import Malformed, MissingFile, TooLarge
from regild.feeds.apk_file import open_package, read_shipped
from regild.image.tree import Tree
from regild.model.apk_blocks import PLACES
from regild.model.apk_database import read_database

DATABASE_LIMIT = 128 << 20
SCRIPTS_LIMIT = 64 << 20
SCRIPTS = ("scripts.tar.gz", "scripts.tar")
TRIGGER = ".trigger"
_SCRIPT = re.compile(r"(.+)\.X1[0-9a-f]{40}(\.[a-z-]+)")
MULTICALL = re.compile(r"(/usr)?/s?bin/(busybox(-extras)?|bbsuid)")
"""Programs that a trigger of busybox gives further names to, by links."""


def read_owners(ran: Ran) -> Owners:
    """Look the record's paths up in the old and the new packages.

    Raises: Malformed, Truncated, TooLarge.
    """
    owners = match_owners(ran, (*ran.owned, *_new(ran.repository)), "apk")
    links = {
        entry.path: "busybox"
        for entry in ran.record.entries
        if any(MULTICALL.fullmatch(one.target) for one in (entry.was, entry.becomes))
    }
    return replace(owners, spoken_of={**links, **owners.spoken_of})


def owned_in(tree: Tree, planned: frozenset[str]) -> Iterator[Owned]:
    """What the gate needs to know of a guest's packages, by its database; none where it has none.

    Raises: Malformed, TooLarge.
    """
    for place in PLACES:
        content = _find(tree, place, DATABASE_LIMIT)
        if content is None:
            continue
        scripts = _scripts(tree, place.rpartition("/")[0])
        for one in read_database(content.decode(errors="replace"), place):
            mine = scripts.get(f"{one.name}-{one.version}", {})
            if one.name not in planned:
                yield Owned(one.name, scripts=mine.get(TRIGGER, ""))
            else:
                paths = (*one.files, *one.folders)
                yield Owned(one.name, paths, "\n".join(mine.values()))
        return


def _scripts(tree: Tree, folder: str) -> Mapping[str, Mapping[str, str]]:
    """The scripts of every package, by its name and version, and then by their own."""
    found: dict[str, dict[str, str]] = {}
    for name in SCRIPTS:
        where = f"{folder}/{name}"
        content = _find(tree, where, SCRIPTS_LIMIT)
        if content is None:
            continue
        plain = _unpacked(content, where) if name.endswith(".gz") else content
        try:
            with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
                for member in archive:
                    match = _SCRIPT.fullmatch(member.name)
                    # A link or a file with holes says more than the archive holds.
                    plain_file = member.isreg() and not member.issparse()
                    file = archive.extractfile(member) if match and plain_file else None
                    if match and file is not None:
                        text = file.read().decode(errors="replace")
                        found.setdefault(match[1], {})[match[2]] = text
        except (tarfile.TarError, ValueError, KeyError, OSError) as error:
            raise Malformed(where=where, why=f"it is no tar: {error}") from error
    return found


def _unpacked(content: bytes, where: str) -> bytes:
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = machine.decompress(content, SCRIPTS_LIMIT + 1)
    except zlib.error as error:
        raise Malformed(where=where, why=f"it is no gzip: {error}") from error
    if len(plain) > SCRIPTS_LIMIT:
        raise TooLarge(where=where, why=f"it unpacks to more than {SCRIPTS_LIMIT} bytes")
    return plain


def _find(tree: Tree, path: str, limit: int) -> bytes | None:
    try:
        return tree.read(path, limit)
    except MissingFile:
        return None


def _new(repository: Path) -> Iterator[Owned]:
    for path in sorted(repository.glob("*.apk")):
        package = open_package(path)
        name = package.info.get("pkgname", "")
        paths = tuple(one.path for one in read_shipped(path, name, "").paths)
        yield Owned(name, paths, "\n".join(package.scripts.values()))
