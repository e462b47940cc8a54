"""Which version of a package is its candidate (apt_preferences(5), deciding as apt 2.6 does).

A repository has a priority: 500, 100 for one that is not automatic but upgrades so, 1 for one that
is not automatic, or what the first general pin that fits says. A version has the highest priority
of the repositories that offer it, or what the first pin on its package says. The candidate is the
version with the highest priority, of equal ones the newest; older than what is installed only from
1000 on, and never below 0.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from regild.errors import Malformed, PlanError
from regild.model.content import TextFile
from regild.model.deb822 import read_paragraphs
from regild.model.pattern import posix_patterns
from regild.model.release import IndexFile
from regild.model.versions import debian_key

DEFAULT_RELEASE = 990
DOWNGRADES = 1000
INSTALLED_FORM = "status"
"""The form of the list of what is installed, which pins may speak of as `now`."""
NEVER = -32768
"""What `Pin-Priority: never` means: an index with it is not looked at."""
RELEASE_LETTERS = {
    "a": "suite",
    "n": "codename",
    "v": "version",
    "o": "origin",
    "l": "label",
    "c": "component",
    "b": "arch",
}
PATTERN_SIGNS = frozenset("*[?")


class Pin(NamedTuple):
    """One stanza of preferences for one name."""

    name: str
    """Empty for a general pin; `src:` before a source's; a pattern where it holds one."""
    arch: str
    kind: str
    """`version`, `release` or `origin`."""
    what: str
    priority: int


def read_pins(files: Iterable[TextFile]) -> tuple[Pin, ...]:
    """The pins of preferences files in their order; what apt passes over is passed over.

    Raises: Malformed.
    """
    found: list[Pin] = []
    for file in files:
        names = ("Package", "Pin", "Pin-Priority")
        for _, fields in read_paragraphs(file.text.encode(), names, file.path, comments=True):
            package = " ".join(fields.get("Package", "").split())
            kind, _, what = " ".join(fields.get("Pin", "").split()).partition(" ")
            kind, general = kind.lower(), package == "*"
            if not package or kind not in ("version", "release", "origin"):
                continue
            if general and kind == "version":
                continue
            priority = _priority(fields.get("Pin-Priority", ""), general, file.path)
            for name in [""] if general else package.split(" "):
                found.append(_pin(name, kind, what, priority))
    return tuple(found)


def _pin(name: str, kind: str, what: str, priority: int) -> Pin:
    source, _, rest = name.partition(":") if name.startswith("src:") else ("", "", name)
    title, colon, arch = rest.rpartition(":")
    if not colon:
        title, arch = rest, ""
    return Pin(f"src:{title}" if source else title, arch, kind, what, priority)


def _priority(text: str, general: bool, where: str) -> int:
    if general and text.strip() == "never":
        return NEVER
    if not re.fullmatch(r"[+-]?[0-9]{1,6}", text.strip()):
        raise Malformed(where=where, why=f"the priority {text[:40]!r} is not a number")
    number = int(text)
    if not NEVER < number < 32768 or number == 0:
        raise Malformed(where=where, why=f"the priority {number} is out of range")
    return number


def index_priorities(
    indexes: Sequence[IndexFile], pins: Iterable[Pin], default_release: str = ""
) -> tuple[int, ...]:
    """The priority of each index.

    Raises: PlanError where the guest's default release is not among its repositories.
    """
    general = [pin for pin in pins if not pin.name]
    if default_release:
        if not any(_is_named(index, default_release) for index in indexes):
            why = f"its default release {default_release!r} is none of its sources"
            raise PlanError(where="the image", why=why)
        general.insert(0, Pin("", "", "release", default_release, DEFAULT_RELEASE))
    return tuple(_priority_of(index, general) for index in indexes)


def _is_named(index: IndexFile, release: str) -> bool:
    names = (index.suite, index.codename, index.version)
    return any(fits(release, name) for name in names) or release[1:2] == "="


def _priority_of(index: IndexFile, general: Iterable[Pin]) -> int:
    found = 500
    if index.form == INSTALLED_FORM:
        found = 100
    elif index.not_automatic:
        found = 100 if index.upgrades_automatically else 1
    settled = False
    for pin in general:
        if (not settled or pin.priority == NEVER) and found != NEVER and offers(pin, index):
            found, settled = pin.priority, True
    return found


def offers(pin: Pin, index: IndexFile) -> bool:
    """Whether a release or origin pin speaks of an index."""
    if pin.kind == "origin":
        if index.form == INSTALLED_FORM:
            return False
        host = (
            pin.what[1:-1] if len(pin.what) > 1 and pin.what[0] == pin.what[-1] == '"' else pin.what
        )
        return fits(host, index.site)
    if pin.what == "*":
        return True
    if "=" not in pin.what:
        if pin.what[:1].isdigit():
            return _fits_version(pin.what, index.version)
        return fits(pin.what, index.suite) or fits(pin.what, index.codename)
    wanted = [
        (one[:1].lower(), one[2:])
        for one in map(str.strip, pin.what.split(","))
        if len(one) > 2 and one[1] == "="
    ]
    known = [
        (RELEASE_LETTERS[letter], text) for letter, text in wanted if letter in RELEASE_LETTERS
    ]
    return bool(known) and all(
        _fits_version(text, index.version)
        if field == "version"
        else fits(text, getattr(index, field))
        for field, text in known
    )


def pins_version(pin: Pin, version: str, sources: Iterable[IndexFile]) -> bool:
    """Whether a pin speaks of a version that some indexes offer."""
    if pin.kind == "version":
        return _fits_version(pin.what, version)
    return any(offers(pin, index) for index in sources)


def _fits_version(pattern: str, version: str) -> bool:
    begin = pattern.removesuffix("*")
    if pattern.endswith("*"):
        if version.lower().startswith(begin.lower()):
            return True
    elif version.lower() == pattern.lower():
        return True
    return fits(pattern, version)


def fits(pattern: str, text: str) -> bool:
    """Whether a name fits a pattern: a regular expression between slashes, or a shell's."""
    if len(pattern) > 1 and pattern[0] == pattern[-1] == "/":
        return posix_patterns(pattern[1:-1])(text)
    return fnmatch.fnmatchcase(text.lower(), pattern.lower())


def is_pattern(name: str) -> bool:
    """Whether a pin's name stands for several packages."""
    plain = name.removeprefix("src:")
    return (len(plain) > 1 and plain[0] == plain[-1] == "/") or bool(PATTERN_SIGNS & set(plain))


class Offered(NamedTuple):
    """A version of a package, and the places that offer it in the order of the sources."""

    version: str
    places: tuple[int, ...]
    """Indexes that offer it; the last of all is the list of what is installed."""
    is_installed: bool
    pin: int | None = None
    """What a pin on the package says."""

    @property
    def key(self) -> tuple[object, ...]:
        """Sorts as the version does; most packages have one version, of which nobody asks it."""
        return debian_key(self.version)


def priority_of(one: Offered, priorities: Sequence[int]) -> int:
    """The priority of one version."""
    found = [priorities[place] for place in one.places]
    if one.pin is not None and any(priority != NEVER for priority in found):
        return one.pin
    return max(found, default=0)


def candidate(versions: Iterable[Offered], priorities: Sequence[int]) -> Offered | None:
    """The version that apt would choose, perhaps the installed one; None where there is none."""
    ordered = list(versions)
    if len(ordered) > 1:
        ordered.sort(key=lambda one: one.key, reverse=True)
    installed = next((one for one in ordered if one.is_installed), None)
    best, chosen = -1, None
    for one in ordered:
        priority = priority_of(one, priorities)
        if priority == 0 or priority <= best:
            continue
        held = installed if priority < DOWNGRADES else None
        if held is not None and held is not one and one.key < held.key:
            continue
        best, chosen = priority, one
    return chosen


def pins_by_name(pins: Iterable[Pin], names: Iterable[str]) -> Iterator[tuple[str, Pin]]:
    """Each pin on packages with each name that it speaks of, in the pins' order; `names` is asked
    for only where there are patterns."""
    known: list[str] | None = None
    for pin in pins:
        if not pin.name:
            continue
        if not is_pattern(pin.name):
            yield pin.name, pin
            continue
        known = list(names) if known is None else known
        source, plain = pin.name.startswith("src:"), pin.name.removeprefix("src:")
        yield from (
            (f"src:{name}" if source else name, pin)
            for name in known
            if name != plain and fits(plain, name)
        )
