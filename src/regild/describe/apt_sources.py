"""Where the guest's apt takes updates from (sources.list(5), both formats).

Credentials never leave this module: what stands before the `@` of an address and after its `?` is
dropped before anything else looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from regild.describe.apt_parts import FALSE_WORDS, TRUE_WORDS, read_parts
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed, TooLarge
from regild.model.content import Source, Unknown
from regild.model.deb822 import read_paragraphs

PATHS = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
SOURCES_LIMIT = 500
WORDS_LIMIT = 64
OPTION_LIMIT = 1024
KEY_LIMIT = 128 << 10
ADDRESS_LIMIT = 2048

READABLE_SCHEMES = ("http", "https", "file")
"""Schemes of sources that planning can follow (`file` only where the site allows it)."""

KEPT_OPTIONS = (
    "allow-downgrade-to-insecure",
    "allow-insecure",
    "allow-weak",
    "by-hash",
    "check-date",
    "check-valid-until",
    "date-max-future",
    "exclude",
    "include",
    "inrelease-path",
    "snapshot",
    "valid-until-max",
    "valid-until-min",
)
"""Options that change what a source offers or how far it is believed."""

_LINE_NAMES = {"arch": "architectures"}
"""Options whose name in the one-line format is another than in deb822."""
_NOT_IN_LINES = ("enabled",)
"""Fields of deb822 that are nothing to apt as an option of a line."""
TYPES = ("deb", "deb-src")

_WORD = re.compile(r'"[^"]*"|(?:\[[^\]]*\]?|[^\s\[])+')
_STATED = re.compile(r'(?:[^#\["]|"[^"]*"?|\[[^\]]*\]?)*')
"""A line as far as its comment, which does not begin within quotes or brackets."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):(.+)", re.DOTALL | re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~%-]*)(:[0-9]{1,5})?")
_ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line or stanza before it is spread over its addresses and suites."""

    where: str
    types: tuple[str, ...]
    addresses: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    """By lower-case deb822 name; `NAME-add` and `NAME-remove` change the default."""
    is_stanza: bool = True


def read_apt_sources(evidence: Evidence, known: Findings) -> Findings:
    """The binary sources of the guest in apt's order; those that cannot be followed are kept and
    reported."""
    unknowns: list[Unknown] = []
    sources: list[Source] = []
    architectures = known.known_planning.architectures
    for path, content in read_parts(evidence, PATHS, (".list", ".sources"), unknowns):
        try:
            entries = _stanzas if path.endswith(".sources") else _lines
            for entry in entries(path, content, unknowns):
                sources.extend(_spread(entry, architectures, unknowns))
                if len(sources) > SOURCES_LIMIT:
                    raise TooLarge(where=path, why=f"there are more than {SOURCES_LIMIT} sources")
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    del sources[SOURCES_LIMIT:]
    return Findings(sources=tuple(sources), unknowns=tuple(unknowns))


def _lines(path: str, content: bytes, unknowns: list[Unknown]) -> Iterator[_Entry]:
    """The entries of the one-line format; a line that is none is Unknown, the others count."""
    for number, line in enumerate(_text(content, path).split("\n"), 1):
        match = _STATED.match(line)
        stated = match[0].strip() if match else ""
        if not stated:
            continue
        try:
            yield _line(stated, f"{path}:{number}")
        except Malformed as error:
            unknowns.append(Unknown(where=error.where, why=error.why))


def _line(stated: str, where: str) -> _Entry:
    kind, _, rest = re.sub(r"\s+", " ", stated).partition(" ")
    options: dict[str, str] = {}
    if rest.startswith("["):
        inside, closing, rest = rest[1:].partition("]")
        if not closing or not rest.startswith(" "):
            raise Malformed(where=where, why="its options do not end")
        options = dict(_option(word, where) for word in inside.split())
    words = [word.strip('"') for word in _WORD.findall(rest)]
    if kind not in TYPES or len(words) < 2:
        raise Malformed(where=where, why="it is not a type, an address and a suite")
    kept = {name: value for name, value in options.items() if name not in _NOT_IN_LINES}
    entry = _Entry(where, (kind,), (words[0],), (words[1],), tuple(words[2:]), kept, False)
    if why := _fault_of(entry):
        raise Malformed(where=where, why=why)
    return entry


def _option(word: str, where: str) -> tuple[str, str]:
    """Name and value of `name=value`, `name+=value` or `name-=value`; a name in other letters is
    none that apt knows.

    Raises: Malformed.
    """
    name, _, value = word.partition("=")
    plain = name.rstrip("+-")
    if not plain or not value:
        raise Malformed(where=where, why="one of its options has no name or no value")
    sign = {"+": "-add", "-": "-remove"}.get(name[-1:], "")
    return _LINE_NAMES.get(plain, plain) + sign, value


def _fault_of(entry: _Entry) -> str:
    """Why apt takes an entry for none; empty where it does not."""
    if unknown_type := next((one for one in entry.types if one not in TYPES), ""):
        return f"apt knows no sources of the type {unknown_type[:40]!r}"
    for suite in entry.suites:
        if suite.endswith("/") and entry.components:
            return "a suite that ends with a slash has no components"
        if not suite.endswith("/") and not entry.components:
            return "it names no component"
    return ""


def _stanzas(path: str, content: bytes, unknowns: list[Unknown]) -> Iterator[_Entry]:
    """The entries of the deb822 format."""
    names = ("types", "uris", "suites", "components", "architectures", "signed-by", "enabled")
    changes = ("architectures-add", "architectures-remove", "trusted")
    wanted = (*names, *changes, *KEPT_OPTIONS)
    for line, fields in read_paragraphs(content, wanted, path, comments=True):
        where = f"{path}:{line}"
        types, addresses, suites, components = (
            tuple(fields.get(name, "").split()) for name in names[:4]
        )
        if not fields:
            continue
        if not types or not addresses or not suites:
            unknowns.append(Unknown(where=where, why="its Types, URIs or Suites are missing"))
            continue
        options = {name: value for name, value in fields.items() if name not in names[:4]}
        entry = _Entry(where, types, addresses, suites, components, options)
        why = _fault_of(entry) if _enabled(entry) else ""
        if why:
            unknowns.append(Unknown(where=where, why=why))
        else:
            yield entry


def _text(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(where=path, why="it is not UTF-8") from error


def _spread(
    entry: _Entry, architectures: tuple[str, ...], unknowns: list[Unknown]
) -> Iterator[Source]:
    """One Source for each address and suite of an entry that has binary packages."""
    if "deb" not in entry.types:
        return
    _check_size(entry)
    native = architectures[0] if architectures else ""
    for stated in entry.addresses:
        try:
            address, removed = strip_credentials(stated.replace("$(ARCH)", native))
        except Malformed as error:
            unknowns.append(Unknown(where=entry.where, why=error.why))
            continue
        for suite in entry.suites:
            # In a line apt puts the architecture into the path of a flat repository only.
            put = native if entry.is_stanza or suite.endswith("/") else "$(ARCH)"
            yield _source(entry, address, suite.replace("$(ARCH)", put), removed, architectures)
        scheme = address.partition(":")[0]
        if scheme not in READABLE_SCHEMES and _enabled(entry):
            why = f"sources of the kind {scheme}: cannot be followed from outside the guest"
            unknowns.append(Unknown(where=entry.where, why=why))


def _check_size(entry: _Entry) -> None:
    """Refuse an entry that would multiply without end."""
    if len(entry.addresses) * len(entry.suites) > SOURCES_LIMIT:
        raise TooLarge(where=entry.where, why=f"it names more than {SOURCES_LIMIT} sources")
    if len(entry.components) > WORDS_LIMIT or len(entry.where) > ADDRESS_LIMIT:
        raise TooLarge(where=entry.where, why=f"it names more than {WORDS_LIMIT} components")
    for name, value in entry.options.items():
        limit = KEY_LIMIT if name == "signed-by" and _ARMOUR in value else OPTION_LIMIT
        if len(value) > limit:
            raise TooLarge(where=entry.where, why=f"its {name[:40]} is over {limit} bytes")


def _source(
    entry: _Entry, address: str, suite: str, removed: bool, architectures: tuple[str, ...]
) -> Source:
    options = [
        f"{name}={' '.join(entry.options[name].split())}"
        for name in KEPT_OPTIONS
        if name in entry.options
    ]
    return Source(
        type="apt",
        uri=address,
        suite=suite,
        components=entry.components,
        architectures=_architectures(entry.options, architectures),
        signed_by=_signed_by(entry.options.get("signed-by", "")),
        enabled=_enabled(entry),
        trusted=entry.options.get("trusted", "").lower() in TRUE_WORDS,
        options=tuple(sorted([*options, "credentials=removed"] if removed else options)),
        where=entry.where,
    )


def _enabled(entry: _Entry) -> bool:
    return entry.options.get("enabled", "yes").lower() not in FALSE_WORDS


def _architectures(options: Mapping[str, str], default: tuple[str, ...]) -> tuple[str, ...]:
    """The architectures that an entry asks for; none where it leaves that to the guest."""
    words = {
        name: re.split(r"[\s,]+", options[name].strip())
        for name in ("architectures", "architectures-add", "architectures-remove")
        if options.get(name, "").strip()
    }
    if not words:
        return ()
    asked = [*words.get("architectures", default), *words.get("architectures-add", ())]
    refused = words.get("architectures-remove", ())
    return tuple(dict.fromkeys(arch for arch in asked if arch not in refused))


def _signed_by(value: str) -> tuple[str, ...]:
    """Keyring paths and fingerprints, or one armoured key whose lines are as they were signed."""
    if _ARMOUR not in value:
        return tuple(word for word in re.split(r"[\s,]+", value) if word)
    lines = (line.strip() for line in value.strip().split("\n"))
    return ("\n".join("" if line == "." else line for line in lines) + "\n",)


def strip_credentials(address: str) -> tuple[str, bool]:
    """An address without user, password, query and fragment, and whether there were any.

    Raises: Malformed, without the address in its text, when it is none that can be made safe.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or len(address) > ADDRESS_LIMIT or not address.isprintable():
        raise Malformed(where="", why="its address is not valid")
    scheme, rest = match[1].lower(), match[2]
    if not rest.startswith(("/", "[")):
        rest = f"//{rest}"  # as apt reads it
    if not rest.startswith("//"):
        return f"{scheme}:{rest}", False
    authority, slash, path = rest[2:].partition("/")
    _, at, host = authority.rpartition("@")
    plain = re.split(r"[?#]", path, maxsplit=1)[0]
    if not _HOST.fullmatch(host):
        raise Malformed(where="", why="the host of its address is not valid")
    return f"{scheme}://{host}{slash}{plain}", bool(at) or plain != path
