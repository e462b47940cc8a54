"""Where the guest's apk takes updates from, what it must hold, and what a solver needs of what is
installed (apk-repositories(5), apk-world(5), apk-keys(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.describe.apk import DATABASE_LIMIT
from regild.describe.apt_sources import READABLE_SCHEMES, SOURCES_LIMIT, strip_credentials
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed, TooLarge
from regild.model.apk_blocks import PLACES, WORLD, read_blocks
from regild.model.content import Keyring, Planning, Source, TextFile, Unknown

REPOSITORIES = "/etc/apk/repositories"
REPOSITORIES_FOLDER = "/etc/apk/repositories.d"
KEYS = "/etc/apk/keys"
ARCH = "/etc/apk/arch"
FIELDS = "PVAIDpirk"
"""The letters that a solver reads: name, version, architecture, installed size, dependencies, what
it provides, what it comes in with, what it replaces, and how much it is preferred."""
SMALL_LIMIT = 1 << 20
KEYS_LIMIT = 100

_ARCH = re.compile(r"[A-Za-z0-9_-]{1,62}")
_TAG = re.compile(r"@([A-Za-z0-9._-]{1,64})\s+(\S.*)")
_PUBLIC = re.compile(
    rb"-----BEGIN (RSA )?PUBLIC KEY-----\s[A-Za-z0-9+/=\s]{1,16384}-----END (RSA )?PUBLIC KEY-----"
)


def read_apk_settings(evidence: Evidence, known: Findings) -> Findings:
    """The planning state and the sources of a guest of apk."""
    database = next((path for path in PLACES if path in known.databases), None)
    mine = [one for one in known.packages if one.type == "apk"]
    if database is None or known.known_planning.type or not mine:
        return Findings()
    if any(one.where.startswith(PLACES) for one in known.unknowns):
        return Findings()
    unknowns: list[Unknown] = []
    try:
        status = _status(evidence, database)
        arch = _arch(evidence) or known.known_platform.arch
        world = _text(evidence, WORLD)
        sources = tuple(_sources(evidence, unknowns))
    except Unreadable as error:
        return Findings(unknowns=(unknown(error, error.where),))
    names = {one.partition("=")[0].strip("!") for one in re.split(r"[\s<>=~@]+", world)}
    planning = Planning(
        type="apk",
        status=status,
        auto=tuple(sorted(f"{one.name}:{one.arch}" for one in mine if one.name not in names)),
        architectures=(arch,) if arch else (),
        preferences=(TextFile(WORLD, "".join(f"{word}\n" for word in sorted(world.split()))),),
        keyrings=tuple(_keys(evidence, unknowns)),
    )
    return Findings(sources=sources, unknowns=tuple(unknowns), planning=planning)


def _status(evidence: Evidence, path: str) -> str:
    """The installed packages with the fields that a solver reads, sorted."""
    text = (evidence.find_bytes(path, DATABASE_LIMIT) or b"").decode(errors="replace")
    # Files stand in the same blocks, under letters of their own; their names may be anything.
    lines = (line for line in text.split("\n") if not line or line[0] in FIELDS)
    blocks = sorted(read_blocks("\n".join(lines), path), key=lambda one: (one["P"], one["V"]))
    return "\n".join(
        "".join(f"{letter}:{block[letter]}\n" for letter in FIELDS if block.get(letter))
        for block in blocks
    )


def _arch(evidence: Evidence) -> str:
    stated = _text(evidence, ARCH).strip()
    if stated and not _ARCH.fullmatch(stated):
        raise Malformed(where=ARCH, why="it is no architecture")
    return stated


def _text(evidence: Evidence, path: str) -> str:
    """A small file's text.

    Raises: Malformed, TooLarge.
    """
    try:
        text = (evidence.find_bytes(path, SMALL_LIMIT) or b"").decode()
    except UnicodeDecodeError as error:
        raise Malformed(where=path, why="it is not UTF-8") from error
    if not text.replace("\n", "").replace("\t", " ").replace("\r", "").isprintable():
        raise Malformed(where=path, why="it holds control characters")
    return text


def _sources(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[Source]:
    paths = [REPOSITORIES]
    more = [name for name in evidence.names(REPOSITORIES_FOLDER) if name.endswith(".list")]
    paths += [f"{REPOSITORIES_FOLDER}/{name}" for name in more]
    count = 0
    for path in paths:
        for number, line in enumerate(_text(evidence, path).splitlines(), 1):
            stated = line.partition("#")[0].strip()
            if not stated:
                continue
            count += 1
            if count > SOURCES_LIMIT:
                raise TooLarge(where=path, why=f"there are more than {SOURCES_LIMIT} sources")
            yield from _source(stated, f"{path}:{number}", unknowns)


def _source(stated: str, where: str, unknowns: list[Unknown]) -> Iterator[Source]:
    match = _TAG.fullmatch(stated)
    tag, address = (match[1], match[2]) if match else ("", stated)
    try:
        uri, removed = strip_credentials(f"file://{address}" if address[0] == "/" else address)
    except Malformed as error:
        unknowns.append(Unknown(where=where, why=error.why))
        return
    scheme = uri.partition(":")[0]
    if scheme not in READABLE_SCHEMES:
        why = f"sources of the kind {scheme}: cannot be followed from outside the guest"
        unknowns.append(Unknown(where=where, why=why))
    options = ("credentials=removed",) if removed else ()
    yield Source(type="apk", uri=uri, suite=tag, options=options, where=where)


def _keys(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[Keyring]:
    """The public keys that may sign an index, by the name that a signature calls them by."""
    try:
        names = [name for name in evidence.names(KEYS) if name.endswith(".pub")][:KEYS_LIMIT]
    except Unreadable as error:
        unknowns.append(unknown(error, KEYS))
        return
    for name in names:
        path = f"{KEYS}/{name}"
        try:
            content = evidence.find_bytes(path, SMALL_LIMIT) or b""
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        if match := _PUBLIC.search(content):
            yield Keyring(path=path, keys=match[0] + b"\n")
        else:
            unknowns.append(Unknown(where=path, why="it holds no public key"))
