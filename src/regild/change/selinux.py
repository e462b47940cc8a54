"""The SELinux labels of changed paths, by the guest's own policy.

Where this machine runs the guest's programs no policy of the guest's is in force, so what they
make anew has no label. It is given here what `restorecon` would give it. A path that kept its label
keeps it; where the policy's own list of labels changed, or cannot be followed, the guest is told to
label everything at its next start.
Source: file_contexts(5), selinux_config(5), selabel_file(5); libselinux 3.4, label_file.c, for the
order of trial: substitutions, then exact paths before patterns, the last one first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from regild.change.plain import read_plain
from regild.errors import Malformed
from regild.model.record import Attribute, Entry, Kind, Record

CONFIG: Final = "/etc/selinux/config"
CONFIG_BYTES_MAX: Final = 1 << 20
CONTEXTS_BYTES_MAX: Final = 16 << 20
"""Fedora's targeted policy has half a megabyte."""
RULES_MAX: Final = 100_000
AUTORELABEL: Final = "/.autorelabel"
"""systemd's selinux-autorelabel-generator(8) has everything labelled where this file is."""
ATTRIBUTE: Final = "security.selinux"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SPECIAL = re.compile(r"[.^$?*+|\[({]")
_KINDS: Final[dict[str, Kind]] = {
    "--": "file",
    "-d": "directory",
    "-l": "symlink",
    "-p": "fifo",
    "-s": "socket",
    "-c": "character",
    "-b": "block",
}
_NO_LABEL = "<<none>>"


class Rule(NamedTuple):
    """One line of file_contexts."""

    pattern: str
    kind: Kind | None
    """The kind of path that it is for; None where it is for all."""
    label: str


class Contexts:
    """A policy's list of labels."""

    def __init__(self, rules: Iterable[Rule], substitutes: Iterable[tuple[str, str]] = ()) -> None:
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._substitutes = tuple(substitutes)
        self._by_top: defaultdict[str, list[tuple[int, str, Rule]]] = defaultdict(list)
        ordered = sorted(rules, key=lambda rule: not _SPECIAL.search(_plain(rule.pattern)))
        for number, rule in enumerate(reversed(ordered)):
            prefix = _prefix(rule.pattern)
            top = prefix.split("/")[1] if prefix.count("/") > 1 else ""
            self._by_top[top].append((number, prefix, rule))

    def find_label(self, path: str, kind: Kind) -> str | None:
        """The label that a path of some kind is to have; None where it is to have none.

        Raises: Malformed for a pattern that Python does not understand.
        """
        place = self._substituted(path)
        top = place.split("/")[1] if place.count("/") > 1 else ""
        near = self._by_top.get(top, []) if top else []
        for _, prefix, rule in sorted([*near, *self._by_top[""]], key=lambda row: row[0]):
            if rule.kind not in (None, kind) or not place.startswith(prefix):
                continue
            if self._pattern(rule.pattern).fullmatch(place):
                return None if rule.label == _NO_LABEL else rule.label
        return None

    def _substituted(self, path: str) -> str:
        for source, target in self._substitutes:
            if path == source or path.startswith(source + "/"):
                rest = path[len(source) :]
                return rest if target == "/" and rest else target + rest
        return path

    def _pattern(self, text: str) -> re.Pattern[str]:
        if text not in self._compiled:
            try:
                self._compiled[text] = re.compile(text, re.DOTALL)
            except (re.error, RecursionError, OverflowError) as error:
                raise Malformed(where=f"the pattern {text[:60]}", why=str(error)) from error
        return self._compiled[text]


def find_policy(tree: Path) -> str | None:
    """The folder of the policy that is in force in a guest; None where none is."""
    content = read_plain(tree, CONFIG, CONFIG_BYTES_MAX) or b""
    told = {}
    for line in content.decode(errors="replace").splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.lstrip().startswith("#"):
            told[name.strip()] = value.strip()
    type = told.get("SELINUXTYPE", "targeted")
    if told.get("SELINUX", "disabled").lower() == "disabled" or not _NAME.fullmatch(type):
        return None
    return f"/etc/selinux/{type}"


def read_contexts(tree: Path, policy: str) -> Contexts | None:
    """A policy's list of labels; None where the guest has none."""
    texts = _texts(tree, policy)
    if texts["file_contexts"] is None:
        return None
    rules = [
        rule
        for name in ("file_contexts", "file_contexts.homedirs", "file_contexts.local")
        for rule in _rules(texts[name] or "")
    ]
    names = ("file_contexts.subs", "file_contexts.subs_dist")
    own, shipped = (list(_pairs(texts[name] or "")) for name in names)
    both = [(source, _follow(target, shipped)) for source, target in own]
    return Contexts(rules[:RULES_MAX], [*both, *shipped])


def ask_for_all(merged: Path, tree: Path, policy: str) -> bool:
    """Whether everything has to be labelled anew, because the list of labels is another one now;
    then the guest is told so."""
    if _texts(merged, policy) == _texts(tree, policy):
        return False
    mark(merged)
    return True


def relabel(record: Record, contexts: Contexts) -> Record:
    """The record with a label for every path that lost its own or never had one.

    Raises: Malformed for a pattern that Python does not understand.
    """
    labels: dict[str, bytes] = {}
    return replace(
        record, entries=tuple(_labelled(one, contexts, labels) for one in record.entries)
    )


def _labelled(entry: Entry, contexts: Contexts, labels: dict[str, bytes]) -> Entry:
    """A path as it is to be; all names of one file have the label of the first."""
    becomes = entry.becomes
    known = {row.name: row.value for row in becomes.attributes}
    if becomes.kind == "absent" or ATTRIBUTE in known:
        labels[entry.path] = known.get(ATTRIBUTE, b"")
        return entry
    value = labels.get(entry.link_to) if entry.link_to else None
    if value is None:
        label = contexts.find_label(entry.path, becomes.kind)
        was = {row.name: row.value for row in entry.was.attributes}
        value = was.get(ATTRIBUTE, b"") if label is None else label.encode() + b"\0"
    labels[entry.path] = value
    if not value:
        return entry
    rows = sorted({**known, ATTRIBUTE: value}.items())
    attributes = tuple(Attribute(name, content) for name, content in rows)
    return replace(entry, becomes=replace(becomes, attributes=attributes))


def _texts(tree: Path, policy: str) -> dict[str, str | None]:
    """The files that a list of labels is made of."""
    endings = ("", ".homedirs", ".local", ".subs", ".subs_dist")
    found: dict[str, str | None] = {}
    for name in (f"file_contexts{ending}" for ending in endings):
        content = read_plain(tree, f"{policy}/contexts/files/{name}", CONTEXTS_BYTES_MAX)
        found[name] = None if content is None else content.decode(errors="surrogateescape")
    return found


def mark(merged: Path) -> None:
    """Tell the guest to label everything at its next start."""
    place = merged / AUTORELABEL.lstrip("/")
    if not place.is_symlink():
        place.touch()


def _rules(text: str) -> Iterator[Rule]:
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 2:
            yield Rule(words[0], None, words[1])
        elif len(words) == 3 and words[1] in _KINDS:
            yield Rule(words[0], _KINDS[words[1]], words[2])


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Substitutions, the last one first, as libselinux tries them."""
    for line in reversed(text.splitlines()):
        words = line.split()
        if len(words) == 2 and not words[0].startswith("#"):
            yield words[0], words[1]


def _follow(target: str, shipped: list[tuple[str, str]]) -> str:
    """Where a site's substitution leads once the policy's own are applied too."""
    return Contexts((), shipped)._substituted(target)


def _plain(pattern: str) -> str:
    """A pattern without what a backslash makes ordinary."""
    return re.sub(r"\\.", "x", pattern)


def _prefix(pattern: str) -> str:
    """What every path that a pattern fits begins with; nothing where that is not sure."""
    if "|" in _plain(pattern).partition("(")[0]:
        return ""
    found = ""
    for literal in re.findall(r"\\[^A-Za-z0-9]|[^\\]|\\.", pattern):
        if (len(literal) == 2 and literal[1].isalnum()) or _SPECIAL.match(literal):
            special = literal in ("?", "*", "{")
            return found[:-1] if special else found
        found += literal[-1]
    return found
