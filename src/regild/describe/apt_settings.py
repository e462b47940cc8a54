"""What the guest's apt is told about choosing versions: pins (apt_preferences(5)) and the few
options of apt.conf(5) that a solver heeds.

Options that run programs, name proxies or hold secrets are not kept: the list of kept names is
literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from regild.describe.apt_parts import read_parts
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed, TooLarge
from regild.model.content import TextFile, Unknown
from regild.model.deb822 import folded, read_paragraphs

SETTINGS = ("/etc/apt/apt.conf", "/etc/apt/apt.conf.d")
PREFERENCES = ("/etc/apt/preferences", "/etc/apt/preferences.d")

KEPT = (
    "APT::Architecture",
    "APT::Architectures",
    "APT::AutoRemove::RecommendsImportant",
    "APT::AutoRemove::SuggestsImportant",
    "APT::Default-Release",
    "APT::Get::Always-Include-Phased-Updates",
    "APT::Get::AutomaticRemove",
    "APT::Get::Never-Include-Phased-Updates",
    "APT::Get::Upgrade-Allow-New",
    "APT::Ignore-Hold",
    "APT::Install-Recommends",
    "APT::Install-Suggests",
    "APT::Machine-ID",
    "APT::Move-Autobit-Sections",
    "APT::Never-MarkAuto-Sections",
    "APT::NeverAutoRemove",
    "APT::Protect-Kernels",
    "APT::VersionedKernelPackages",
)
"""Every option that reaches a plan; all of them are data."""

MOVING = ("dir", "dir::etc", "dir::state", "rootdir")
"""Options that would move the files that this room reads."""

DEPTH_LIMIT = 32
STATEMENTS_LIMIT = 50_000
VALUES_LIMIT = 500
VALUE_LIMIT = 1024

_NAMES = {name.lower(): name for name in KEPT}
_TOKEN = re.compile(
    r"/\*.*?(?:\*/|\Z)|//[^\n]*|#(?P<order>include|clear)\b(?P<rest>[^\n;]*;?)|#[^\n]*"
    r'|"(?P<quoted>[^"\n]*)"|(?P<sign>[{};])|(?P<word>[^\s{};"]+)',
    re.DOTALL,
)


def read_apt_settings(evidence: Evidence, known: Findings) -> Findings:
    """The planning state with the guest's pins and solver options."""
    if known.known_planning.type not in ("", "deb"):
        return Findings()
    unknowns: list[Unknown] = []
    planning = replace(
        known.known_planning,
        preferences=tuple(_preferences(evidence, unknowns)),
        settings=_settings(evidence, unknowns),
    )
    return Findings(planning=planning, unknowns=tuple(unknowns))


# --- preferences


def _preferences(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[TextFile]:
    """Each file's stanzas, without comments and explanations."""
    for path, content in read_parts(evidence, PREFERENCES, ("", ".pref"), unknowns):
        try:
            text = "\n".join(_pins(path, content))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        if text:
            yield TextFile(path=path, text=text)


def _pins(path: str, content: bytes) -> Iterator[str]:
    names = ("Package", "Pin", "Pin-Priority")
    for line, fields in read_paragraphs(content, names, path, comments=True):
        if not fields:
            continue
        values = [folded(fields.get(name, "")) for name in names]
        if not all(values) or not all(value.isprintable() for value in values):
            raise Malformed(where=f"{path}:{line}", why="it is not Package, Pin and Pin-Priority")
        yield "".join(f"{name}: {value}\n" for name, value in zip(names, values, strict=True))


# --- apt.conf


def _settings(evidence: Evidence, unknowns: list[Unknown]) -> tuple[TextFile, ...]:
    """One canonical apt.conf with the kept options; the folder is read first, as apt does."""
    kept: dict[str, list[str]] = {}
    for path, content in read_parts(evidence, SETTINGS, ("", ".conf"), unknowns, main_first=False):
        try:
            for name, value in read_options(content, path):
                _keep(kept, name, value, path)
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    lines = [line for name in sorted(kept) for line in _written(name, kept[name])]
    return (TextFile(path=SETTINGS[0], text="".join(lines)),) if lines else ()


def read_options(content: bytes, path: str) -> Iterator[tuple[str, str | None]]:
    """The assignments of an apt.conf in order: full name and value.

    A name that ends in `::` adds to a list; the value None clears the name and all below it.

    Raises: Malformed, TooLarge.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(where=path, why="it is not UTF-8") from error
    scopes: list[str] = []
    words: list[tuple[str, bool]] = []
    for count, token in enumerate(_TOKEN.finditer(text)):
        if count > STATEMENTS_LIMIT or len(scopes) > DEPTH_LIMIT:
            raise TooLarge(where=path, why="it has more statements than apt.conf ever needs")
        if token["order"] == "include":
            raise Malformed(where=path, why="it includes other files, which is not followed")
        if token["order"] == "clear":
            yield from ((name, None) for name in token["rest"].strip(" \t;").split())
        elif token["quoted"] is not None:
            words.append((token["quoted"], True))
        elif token["word"]:
            words.append((token["word"], False))
        elif token["sign"]:
            yield from _statement(scopes, words)
            _enter_or_leave(token["sign"], scopes, words, path)
            words = []
    if scopes or words:
        raise Malformed(where=path, why="its last statement does not end")


def _statement(scopes: list[str], words: list[tuple[str, bool]]) -> Iterator[tuple[str, str]]:
    """The assignment that some words make within their scopes, if they make one."""
    if not words:
        return
    name, quoted = words[0]
    if quoted:
        yield "::".join([*scopes, ""]), name
    elif len(words) > 1:
        yield "::".join([*scopes, name]), " ".join(word for word, _ in words[1:])


def _enter_or_leave(sign: str, scopes: list[str], words: list[tuple[str, bool]], path: str) -> None:
    if sign == "{":
        if not words:
            raise Malformed(where=path, why="a block has no name")
        scopes.append(words[0][0].removesuffix("::"))
    elif sign == "}":
        if not scopes:
            raise Malformed(where=path, why="a block ends that has not begun")
        scopes.pop()


def _keep(kept: dict[str, list[str]], name: str, value: str | None, path: str) -> None:
    plain = name.lower().removesuffix("::")
    if plain in MOVING or plain.startswith(("dir::etc::", "dir::state::")):
        raise Malformed(where=path, why=f"its {name} moves apt's own files, which is not followed")
    if value is None:
        for known in [one for one in kept if (one.lower() + "::").startswith(plain + "::")]:
            del kept[known]
        return
    spelt = _NAMES.get(plain)
    if spelt is None:
        return
    if not value.isprintable() or '"' in value or len(value) > VALUE_LIMIT:
        raise Malformed(where=path, why=f"the value of {spelt} is not plain text")
    if spelt in _ONLY_LISTS and not name.endswith("::"):
        return
    if not name.endswith("::"):
        kept[spelt] = [value]
    elif value not in kept.setdefault(spelt, []):
        kept[spelt].append(value)
    if len(kept[spelt]) > VALUES_LIMIT:
        raise TooLarge(where=path, why=f"{spelt} has more than {VALUES_LIMIT} values")


_ONLY_LISTS = ("APT::Move-Autobit-Sections", "APT::Never-MarkAuto-Sections")
"""A value of the name itself says nothing of them to apt."""
_LISTS = frozenset(
    (
        "APT::Architectures",
        "APT::NeverAutoRemove",
        "APT::VersionedKernelPackages",
        *_ONLY_LISTS,
    )
)


def _written(name: str, values: list[str]) -> Iterator[str]:
    """The canonical lines of one option."""
    mark = "::" if name in _LISTS else ""
    return (f'{name}{mark} "{value}";\n' for value in values)
