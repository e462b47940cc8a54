"""Packages of an index or of dpkg's status as libsolv's solvables.

What libsolv has no field for, and deciding needs, stands in the solvable's vendor as words
(`Facts`); vendors mean nothing else here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from regild.errors import Malformed, TooLarge
from regild.plan.debian.evr import evr_of
from regild.plan.debian.relations import EQUAL, GREATER, LESS, Atom, Vocabulary, read_clauses

STANZA_LIMIT = 1 << 20
STANZAS_LIMIT = 1_000_000
CHUNK_BYTES = 1 << 20

FIELDS = frozenset(
    {
        "package",
        "version",
        "architecture",
        "multi-arch",
        "priority",
        "essential",
        "important",
        "protected",
        "source",
        "phased-update-percentage",
        "status",
        "section",
        "pre-depends",
        "depends",
        "recommends",
        "suggests",
        "breaks",
        "conflicts",
        "provides",
    }
)
"""What is read of an entry."""
_FOLDED = re.compile(r"\n(?=[ \t])")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+.-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,254}")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SOURCE = re.compile(rf"({_NAME.pattern})(?:\s*\(({_VERSION.pattern})\))?")
ABSENT = ("not-installed", "config-files")
"""The states of dpkg(1) in which none of a package's files is there."""
PRIORITIES = ("required", "important", "standard", "optional", "extra")
ITSELF = "apt"
"""Essential to apt, whatever is said of it."""
UNSTATED = 6
"""The priority of what states none."""
WITHOUT = 24
"""libsolv's REL_WITHOUT."""


class Facts(NamedTuple):
    """What is said of a version beside its relations."""

    version: str
    arch: str
    multi: str
    """The first letter of Multi-Arch: `n` no, `s` same, `f` foreign, `a` allowed."""
    priority: int
    """1 required ... 5 extra, as dpkg orders them; 6 where none is stated."""
    essential: str
    """`e` Essential, as apt itself is, `i` Important or Protected, else `-`."""
    source: str
    source_version: str
    phase: int
    """Phased-Update-Percentage; 100 where there is none."""
    section: str

    @property
    def words(self) -> str:
        """As one text."""
        return " ".join(map(str, self))


def read_facts(words: str) -> Facts:
    """The facts in a solvable's vendor."""
    version, arch, multi, priority, essential, source, source_version, phase, section = words.split(
        " "
    )
    return Facts(
        version, arch, multi, int(priority), essential, source, source_version, int(phase), section
    )


Fields = dict[str, str]


def read_stanzas(file: IO[bytes], where: str) -> Iterator[Fields]:
    """The stanzas of an index one by one, with the fields that decide; read as a stream.

    Raises: TooLarge.
    """
    rest, count = b"", 0
    while True:
        chunk = file.read(CHUNK_BYTES)
        *whole, rest = (rest + chunk).split(b"\n\n") if chunk else (rest, b"")
        if len(rest) > STANZA_LIMIT + CHUNK_BYTES:
            raise TooLarge(where=where, why="one of its entries does not end")
        for stanza in whole:
            if fields := fields_of(stanza.decode(errors="replace")):
                count += 1
                if count > STANZAS_LIMIT:
                    raise TooLarge(where=where, why=f"it lists more than {STANZAS_LIMIT} packages")
                yield fields
        if not chunk:
            return


def fields_of(stanza: str) -> Fields:
    """The fields of an entry that are read, by lower-case name; continued lines are kept apart."""
    folded = "\n " in stanza or "\n\t" in stanza
    lines = _FOLDED.sub("\r", stanza) if folded else stanza
    found = {}
    for line in lines.split("\n"):
        name, _, value = line.partition(":")
        if (key := name.lower()) in FIELDS:
            found[key] = value.strip()
    return found


def facts_of(fields: Fields, where: str) -> tuple[str, Facts]:
    """A stanza's name and facts, checked; in lower case, as dpkg and apt read what a package is
    called, though not what it provides and needs.

    Raises: Malformed.
    """
    name, version = fields.get("package", "").lower(), fields.get("version", "")
    arch = fields.get("architecture", "")
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version) and _WORD.fullmatch(arch)):
        raise Malformed(where=where, why=f"its entry {name[:60]!r} names no package and version")
    source = _SOURCE.fullmatch(fields.get("source", ""))
    phase = fields.get("phased-update-percentage", "")
    priority = fields.get("priority", "").lower()
    yes = {key for key in ("essential", "important", "protected") if fields.get(key) == "yes"}
    section = fields.get("section", "")
    return name, Facts(
        version,
        arch,
        multi=fields.get("multi-arch", "no")[:1] or "n",
        priority=PRIORITIES.index(priority) + 1 if priority in PRIORITIES else UNSTATED,
        essential="e" if "essential" in yes or name == ITSELF else "i" if yes else "-",
        source=source[1] if source else name,
        source_version=(source[2] if source else "") or version,
        phase=int(phase) if phase.isdecimal() and len(phase) < 4 else 100,
        section=section
        if section.isascii() and section.isprintable() and " " not in section and section
        else "-",
    )


def add_packages(
    repo: Any, stanzas: Iterable[Fields], words: Vocabulary, where: str, every: bool = False
) -> Iterator[tuple[Any, Facts]]:
    """Add packages to a repository of libsolv's pool; gives each solvable with its facts.

    Packages of architectures that the guest does not have are left out, but not with `every`.

    Raises: Malformed.
    """
    wanted = {*words.architectures, "all"}
    for fields in stanzas:
        if every or fields.get("architecture") in wanted:
            name, facts = facts_of(fields, where)
            yield _add(repo, name, facts, fields, words), facts


def _add(repo: Any, name: str, facts: Facts, fields: Fields, words: Vocabulary) -> Any:
    one = repo.add_solvable()
    one.name = words.named(name, facts.arch)
    one.evr = evr_of(facts.version)
    one.arch = "noarch"
    one.vendor = facts.words
    for field, add in (
        ("pre-depends", one.add_requires),
        ("depends", one.add_requires),
        ("recommends", one.add_recommends),
        ("suggests", one.add_suggests),
    ):
        for clause in _clauses(fields, field):
            if wanted := words.wanted(clause, facts.arch):
                add(wanted)
    for identity in _provided(name, facts, fields, words):
        one.add_provides(identity)
    for field in ("breaks", "conflicts"):
        for clause in _clauses(fields, field):
            for identity in words.forbidden(clause, name):
                one.add_conflicts(identity)
    if len(words.architectures) > 1:
        for identity in _copies(name, facts, words):
            one.add_conflicts(identity)
    return one


def _clauses(fields: Fields, field: str) -> list[str]:
    text = fields.get(field)
    return text.split(",") if text else []


def _provided(name: str, facts: Facts, fields: Fields, words: Vocabulary) -> list[int]:
    """The ids of what a package provides: itself first."""
    pool, evr = words.pool, words.pool.str2id(evr_of(facts.version))
    own = facts.arch if facts.arch != "all" else words.native
    everywhere = words.architectures if facts.multi == "f" else (own,)
    titles = [words.named(name, own)]
    titles += [words.named(name, arch) for arch in everywhere if arch != own]
    if facts.multi == "a":
        titles.append(f"{name}:any")
    if len(words.architectures) > 1:
        titles.append(f"copy({titles[0]})")
    found = [pool.rel2id(pool.str2id(title), evr, EQUAL) for title in titles]
    if text := fields.get("provides"):
        named = (*everywhere, "any") if facts.multi == "a" else everywhere
        for atoms in read_clauses(text):
            found += _provided_besides(atoms[0], named, words)
    return found


def _provided_besides(atom: Atom, everywhere: Iterable[str], words: Vocabulary) -> Iterator[int]:
    """The ids of a name that a package provides besides its own."""
    if atom.operator not in ("", "="):
        return
    pool = words.pool
    for arch in (atom.arch,) if atom.arch else everywhere:
        title = words.named(atom.name, arch)
        if atom.version:
            version = pool.str2id(evr_of(atom.version))
            yield pool.rel2id(pool.str2id(title), version, EQUAL)
        else:
            yield pool.str2id(f"virt({title})")


def _copies(name: str, facts: Facts, words: Vocabulary) -> Iterator[int]:
    """The ids of the copies for other architectures that a package cannot stand beside."""
    pool, own = words.pool, facts.arch if facts.arch != "all" else words.native
    for arch in words.architectures:
        if arch == own:
            continue
        copy = pool.str2id(f"copy({words.named(name, arch)})")
        if facts.multi == "s" and facts.arch != "all":
            yield pool.rel2id(copy, pool.str2id(evr_of(facts.version)), LESS | GREATER)
        else:
            yield copy
