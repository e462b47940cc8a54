"""Indexes as libsolv's repositories, kept beside them in the form that libsolv loads at once.

Mostly only what images reach is loaded (`plan.debian.near`). Where all is, an index is parsed once
for all images of its suite and set of architectures: 63,000 packages take 4 s, and 0.06 s from then
on (bookworm, one core). What was kept is believed when its length and checksum are as they were
written; else it is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from regild.errors import HostError
from regild.host.files import open_new
from regild.model.content import Value
from regild.model.release import IndexFile
from regild.plan.debian.loading import Facts, add_packages, read_facts, read_stanzas
from regild.plan.debian.relations import Vocabulary
from regild.plan.debian.stated import Stated

FORM = 4
"""Raised whenever the same index would be kept differently."""


class Note(Value, frozen=True):
    """What is kept about an index beside its packages."""

    bytes: int
    checksum: int
    """CRC-32 of the kept form: against decay, not against malice; the folder is the user's own."""
    repeated: tuple[str, ...]
    """Names that it offers more than one version of."""


class Version(NamedTuple):
    """One version of a package, installed or on offer."""

    solvable: Any
    facts: Facts
    places: tuple[int, ...]
    """The indexes that offer it."""
    id: int
    """libsolv's number for it."""


class Title(NamedTuple):
    """What is on offer under one name and architecture."""

    versions: dict[str, Version]
    ids: dict[str, int]
    repeats: tuple[int, ...]
    """The ids of what is offered again, in the same version."""


class Shelf:
    """The repositories of some indexes in one pool, with what has been looked up in them."""

    def __init__(self, indexes: Sequence[IndexFile], architectures: tuple[str, ...]) -> None:
        self.indexes, self.pool = tuple(indexes), new_pool()
        self.words = Vocabulary(self.pool, architectures)
        self.repos: list[Any] = []
        self.notes: list[Note] = []
        for place in range(len(self.indexes)):
            repo, note = self._load(place)
            self.repos.append(repo)
            self.notes.append(note)
        self.place_of = {repo.id: place for place, repo in enumerate(self.repos)}
        self.end = len(self.pool.solvables)
        """Solvables from this number on are those of images."""
        self.contested = self._contested()
        self.others: dict[tuple[int, ...], dict[int, frozenset[int]]] = {}
        """By the priorities of the indexes, and by title, what is out of packages that an image has
        not; looked up when it is asked for."""
        self.seen: Any = None
        """What was installed in images so far (`plan.debian.seen`)."""
        self.seen_ids: set[int] = set()
        """Its solvables, which are in the pool and not on offer."""
        self._titles: dict[int, Title] = {}
        self._clean = False

    def _load(self, place: int) -> tuple[Any, Note]:
        """The repository of one index, with what is kept about it."""
        return _load(self.indexes[place], self.words)

    @cached_property
    def stated(self) -> list[Stated]:
        """The indexes themselves."""
        return [Stated(index) for index in self.indexes]

    @cached_property
    def essential(self) -> frozenset[str]:
        """The names of what is Essential in any of the indexes."""
        return frozenset(name for one in self.stated for name in one.essential)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all that is on offer, some more than once."""
        return tuple(one.name.partition(":")[0] for repo in self.repos for one in repo.solvables)

    @cached_property
    def sources(self) -> dict[str, set[tuple[int, str]]]:
        """The titles, with their architectures, that come of each source package."""
        found: dict[str, set[tuple[int, str]]] = {}
        for one in (one for repo in self.repos for one in repo.solvables):
            facts = read_facts(one.vendor)
            found.setdefault(facts.source, set()).add((one.nameid, facts.arch))
        return found

    def title(self, nameid: int) -> Title:
        """What is on offer under a title."""
        found = self._titles.get(nameid)
        if found is None:
            found = self._titles[nameid] = self._title(nameid)
        return found

    def _title(self, nameid: int) -> Title:
        self.clean()
        versions: dict[str, Version] = {}
        repeats = []
        for one in self.pool.whatprovides(nameid):
            if one.nameid != nameid or one.id >= self.end:
                continue
            facts, place = read_facts(one.vendor), self.place_of[one.repo.id]
            before = versions.get(facts.version)
            if before is None:
                versions[facts.version] = Version(one, facts, (place,), one.id)
            else:
                versions[facts.version] = before._replace(places=(*before.places, place))
                repeats.append(int(one.id))
        ids = {text: version.id for text, version in versions.items()}
        return Title(versions, ids, tuple(repeats))

    def clean(self) -> None:
        """Have libsolv find all that is on offer, whatever an image left out before."""
        if not self._clean:
            self.pool.set_disabled_list([])
            self.pool.createwhatprovides()
            self._clean = True

    def install(self, repo: Any) -> None:
        """Take a repository for what is installed, or None; libsolv then forgets what provides
        what, and asking it would end the process."""
        self.pool.installed = repo
        self._clean = False

    def leave_out(self, ids: Iterable[int]) -> None:
        """Have libsolv find what is on offer but for some versions."""
        self._clean = False
        self.pool.set_disabled_list(sorted(ids))
        self.pool.createwhatprovides()

    def _contested(self) -> set[int]:
        """The ids of the names that have more than one version on offer."""
        largest = max(self.repos, key=lambda repo: repo.nsolvables, default=None)
        found = {self.pool.str2id(name) for note in self.notes for name in note.repeated}
        for repo in self.repos:
            if repo is not largest:
                found.update(one.nameid for one in repo.solvables)
        return found


def new_pool() -> Any:
    """A pool of libsolv's in which names tell architectures apart."""
    import solv

    pool = solv.Pool()
    pool.setarch("x86_64")  # everything is noarch here
    return pool


def _load(index: IndexFile, words: Vocabulary) -> tuple[Any, Note]:
    """An index's repository: from what is kept, else from the index itself."""
    repo = words.pool.add_repo(index.where)
    key = hashlib.sha256(f"{FORM} {' '.join(words.architectures)}".encode()).hexdigest()[:16]
    kept = Path(f"{index.path}.{key}.solv")
    note = _kept_note(kept)
    if note is not None and repo.add_solv(str(kept)):
        return repo, note
    repo.empty()
    with Path(index.path).open("rb") as file:
        seen: dict[str, int] = {}
        for one, _ in add_packages(repo, read_stanzas(file, index.where), words, index.where):
            seen[one.name] = seen.get(one.name, 0) + 1
    repo.internalize()
    repeated = tuple(sorted(name for name, times in seen.items() if times > 1))
    return repo, _keep(repo, Note(0, 0, repeated), kept)


def _kept_note(kept: Path) -> Note | None:
    """What is kept about an index, if its kept form is whole."""
    try:
        note = msgspec.msgpack.decode(kept.with_suffix(".note").read_bytes(), type=Note)
        content = kept.read_bytes()
    except (OSError, msgspec.DecodeError):
        return None
    whole = len(content) == note.bytes and zlib.crc32(content) == note.checksum
    return note if whole else None


def _keep(repo: Any, note: Note, kept: Path) -> Note:
    """Keep a repository in its loadable form; where it cannot be kept, it is parsed again."""
    import solv

    with contextlib.suppress(HostError):
        with open_new(kept) as file:
            stream = solv.xfopen_fd(kept.name, file.fileno(), "w")
            repo.write(stream)
            stream.close()
        content = kept.read_bytes()
        note = replace(note, bytes=len(content), checksum=zlib.crc32(content))
        with open_new(kept.with_suffix(".note")) as file:
            file.write(msgspec.msgpack.encode(note))
    return note
