"""The site's store, opened: its catalogue, its shelf, and in whose name it is changed.

    [store]
    catalogue = "postgresql://regild@db.example/regild"
    blobs = "s3://golden/regild"

Without either, both lie in one folder: `--store`, the environment's REGILD_STORE, or /var/lib/
regild/store for root and the user's data folder otherwise (XDG Base Directory Specification).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from regild.agent.site import MAX_BYTES, site_file
from regild.errors import NotPermitted, UsageError
from regild.host.files import home_folder, make_passable, read_limited
from regild.host.shelf import Shelf, open_shelf
from regild.store import Catalogue, open_catalogue

CATALOGUE = "catalogue.sqlite"
BLOBS = "blobs"


class StoreWishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where the catalogue and the blobs are; empty for the store's folder."""

    catalogue: str = ""
    blobs: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """An open store."""

    catalogue: Catalogue
    shelf: Shelf
    actor: str
    """Who is written beside what happens."""


@contextlib.contextmanager
def open_store(place: Path | None = None, config: Path | None = None) -> Iterator[Store]:
    """Open the site's store, made if it is not there; a folder that is named beats `[store]`.

    Raises: UsageError, NotPermitted, NewerCatalogue, Unanswered, LibraryMissing, ToolMissing.
    """
    wishes = StoreWishes() if place else read_wishes(config)
    folder = place or default_place()
    if not (wishes.catalogue and wishes.blobs):
        _make(folder)
    shelf = open_shelf(wishes.blobs or folder / BLOBS)
    with open_catalogue(wishes.catalogue or folder / CATALOGUE) as catalogue:
        yield Store(catalogue, shelf, actor_of())


def read_wishes(config: Path | None = None) -> StoreWishes:
    """`[store]` of the site's file; nothing where there is no file.

    Raises: UsageError, MissingFile for a file that was named.
    """
    file = site_file(config)
    if file is None:
        return StoreWishes()
    try:
        told = tomllib.loads(read_limited(file, MAX_BYTES).decode())
        return msgspec.convert(told.get("store", {}), StoreWishes)
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8 and msgspec
        raise UsageError(what=f"{file}: {error}") from error


def default_place() -> Path:
    """The store's folder when nobody says."""
    if told := os.environ.get("REGILD_STORE"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/var/lib/regild/store")
    data = os.environ.get("XDG_DATA_HOME", "")
    kept = Path(data) if data.startswith("/") else home_folder() / ".local" / "share"
    return kept / "regild" / "store"


def actor_of() -> str:
    """Who works with the store: REGILD_ACTOR, or the user and this machine."""
    if told := os.environ.get("REGILD_ACTOR"):
        return told[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        user = str(os.geteuid())
    return f"{user}@{os.uname().nodename}"[:200]


def _make(folder: Path) -> None:
    try:
        # Instances' disks lie beside it, and libvirt's own user goes there.
        make_passable(folder.parent)
        folder.mkdir(mode=0o750, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(what=f"{folder} is no folder for a store") from error
    except PermissionError as error:
        raise NotPermitted(where=f"making {folder}", why="permission denied") from error
