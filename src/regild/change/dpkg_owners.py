"""Who owns each changed path in a guest of dpkg.

Read from the dpkg database after the run and before it, inside the name space.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from regild.change.owners import Owners, Ran, bare, paths_in, real
from regild.errors import RecordRefused, TooLarge

STATE = "var/lib/dpkg"
DATABASE = f"{STATE}/info"
DIVERSIONS = "diversions"
LIST = ".list"
LIST_BYTES_MAX = 32 << 20
ALL_BYTES_MAX = 1 << 30
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "triggers", "conffiles", "config")


def read_owners(ran: Ran) -> Owners:
    """Look the record's paths up in the package database of the merged tree and the old tree.

    Raises: TooLarge when the database is beyond reason, RecordRefused.
    """
    wanted, planned, links = {one.path for one in ran.record.entries}, set(ran.packages), ran.links
    endings = tuple(f".{name}" for name in SCRIPTS)
    found: dict[str, str] = {}
    spoken_of: dict[str, str] = {}
    for root in (ran.tree, ran.merged):
        diverted = _diversions(root)
        for package, ending, text in _read_database(root, planned, endings):
            if ending == LIST:
                for line in text.splitlines():
                    for path in {real(line, links), real(diverted.get(line, line), links)}:
                        if path in wanted and (path not in found or bare(package) in planned):
                            found[path] = package
            else:
                for path in paths_in(text, links):
                    spoken_of.setdefault(path, package)
    return Owners(found, spoken_of, sorted(planned))


def _diversions(root: Path) -> dict[str, str]:
    """Where others' files of a path lie while a package keeps it for itself (dpkg-divert(1)):
    three lines each, the path, where it goes, and whose it is.

    Raises: TooLarge, RecordRefused for what is no file.
    """
    folder = open_folder(root, STATE)
    if folder is None:
        return {}
    try:
        text = read_at(folder, DIVERSIONS, STATE) if DIVERSIONS in os.listdir(folder) else ""
    finally:
        os.close(folder)
    lines = text.splitlines()
    return dict(zip(lines[0::3], lines[1::3], strict=False))


def _read_database(
    root: Path, planned: set[str], endings: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    """Every package's list of files, and the planned packages' scripts, as (package, ending, text).

    Links are not followed.

    Raises: TooLarge, RecordRefused for what is no file.
    """
    folder = open_folder(root, DATABASE)
    if folder is None:
        return
    budget = ALL_BYTES_MAX
    try:
        for name in sorted(os.listdir(folder)):
            package, ending = os.path.splitext(name)
            if ending == LIST or (ending in endings and bare(package) in planned):
                text = read_at(folder, name, DATABASE)
                budget -= len(text)
                if budget < 0:
                    raise TooLarge(where=DATABASE, why=f"it is over {ALL_BYTES_MAX} bytes")
                yield package, ending, text
    finally:
        os.close(folder)


def open_folder(root: Path, path: str) -> int | None:
    """A folder below a root, no part of the way being a link."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in path.split("/"):
        try:
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
        except OSError:
            os.close(handle)
            return None
        os.close(handle)
        handle = inside
    return handle


def read_at(folder: int, name: str, place: str) -> str:
    """A file of the database; what a script put there instead (link, pipe, folder) is refused.

    Raises: TooLarge, RecordRefused.
    """
    where = f"/{place}/{name}"
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise RecordRefused(where=where, why=f"it cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise RecordRefused(where=where, why="it is not a file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(LIST_BYTES_MAX + 1)
    if len(content) > LIST_BYTES_MAX:
        raise TooLarge(where=where, why=f"it is over {LIST_BYTES_MAX} bytes")
    return content.decode(errors="surrogateescape")
