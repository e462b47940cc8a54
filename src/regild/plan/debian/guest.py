"""An image's packages among what is on offer: what is installed, and each package's candidate."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from regild.errors import Malformed
from regild.model.digest import sha256_of
from regild.model.release import IndexFile
from regild.plan.debian.loading import ABSENT, Facts, Fields, add_packages, read_stanzas
from regild.plan.debian.pins import (
    INSTALLED_FORM,
    Offered,
    Pin,
    candidate,
    index_priorities,
    pins_by_name,
    pins_version,
    read_pins,
)
from regild.plan.debian.settings import is_on, read_settings
from regild.plan.debian.shelf import Shelf, Title, Version
from regild.plan.solver import Request

BELOW_INSTALLED = 50
OTHERS_LIMIT = 20
"""Sets of priorities for which it is known what is out."""
EVERYONE = 100
"""The share, in percent, at which an update is for all (Phased-Update-Percentage)."""
PHASED_WHY = "its repository gives it to {share} % of machines so far"
PINNED_WHY = "a pin of the image stands against it"
STATUS = "/var/lib/dpkg/status"
NOW = IndexFile(
    path="", digest=sha256_of(b""), where=STATUS, form=INSTALLED_FORM, suite="now", component="now"
)
"""What is installed, as pins may speak of it."""


@dataclass(slots=True)
class Installed:
    """One installed package."""

    title: str
    """Its name, with the architecture where that is a foreign one."""
    now: Version
    hold: bool
    candidate: Version | None = None
    """What apt would choose; None where that is what is installed, or nothing."""
    is_security: bool = False
    """The candidate is a security update."""
    is_unwanted: bool = False
    """No version may be had by the guest's pins, not even the installed one."""
    left: str = ""
    """Why a newer version on offer is not its candidate, where a pin on the package or the share
    of machines that it is for keeps it from that."""


@dataclass(slots=True)
class Guest:
    """What a solver works with for one image."""

    shelf: Shelf
    packages: dict[int, Installed] = field(default_factory=dict)
    """By libsolv's id of the title."""
    options: dict[str, list[str]] = field(default_factory=dict)
    priorities: tuple[int, ...] = ()
    unwanted: set[int] = field(default_factory=set)
    """Versions on offer that are nobody's candidate, of the titles that are the image's own affair
    (`own`) and of those with no more than one version."""
    own: set[int] = field(default_factory=set)
    """The titles that are installed, pinned or forbidden."""
    repo: Any = None
    """What is installed, where that stands in the pool for this image alone."""

    def is_out(self, identity: int, nameid: int) -> bool:
        """Whether a version on offer, of some title, is nobody's candidate."""
        if nameid in self.own or nameid not in self.shelf.contested:
            return identity in self.unwanted
        return identity in _out_of_others(self, nameid)

    def all_out(self) -> set[int]:
        """Every version on offer that is nobody's candidate."""
        others = self.shelf.contested - self.own
        return self.unwanted.union(*(_out_of_others(self, nameid) for nameid in others))

    def is_installed(self, one: Any) -> bool:
        """Whether a version is that of an installed package."""
        if self.repo is not None:
            return bool(one.isinstalled())
        before = self.packages.get(one.nameid)
        return before is not None and before.now.id == one.id

    def word(self, option: str, default: str) -> str:
        """A setting of the guest."""
        return self.options.get(option, [default])[-1]

    def is_on(self, option: str, default: bool) -> bool:
        """Whether a setting of the guest is on (apt.conf(5))."""
        return is_on(self.options, option, default)

    def close(self) -> None:
        """Take the image out of the pool again."""
        if self.repo is not None:
            self.shelf.pool.set_disabled_list([])
            self.shelf.install(None)
            self.repo.free(True)
        self.repo = None


def seat(shelf: Shelf, request: Request) -> Guest:
    """Put an image's packages into the pool and find each candidate.

    Raises: Malformed for a status or pins that cannot be read, PlanError.
    """
    planning = request.planning
    guest = Guest(shelf, options=read_settings(planning.settings))
    guest.repo = shelf.pool.add_repo(STATUS)
    shelf.install(guest.repo)
    try:
        _sit(guest, request)
    except BaseException:
        guest.close()
        raise
    return guest


def _sit(guest: Guest, request: Request) -> None:
    shelf, planning = guest.shelf, request.planning
    stanzas = [
        one for one in read_stanzas(io.BytesIO(planning.status.encode()), STATUS) if is_there(one)
    ]
    made = add_packages(guest.repo, stanzas, shelf.words, STATUS, every=True)
    for fields, (solvable, facts) in zip(stanzas, made, strict=True):
        guest.packages[solvable.nameid] = Installed(
            solvable.name, Version(solvable, facts, (), solvable.id), is_held(fields)
        )
    find_candidates(guest, request)
    shelf.leave_out(guest.all_out() | shelf.seen_ids)


def is_held(fields: Fields) -> bool:
    """Whether an installed package is on hold."""
    return fields["status"].split()[0] == "hold"


def is_there(fields: Fields) -> bool:
    """Whether a stanza of dpkg's status is that of a package of which anything is installed.

    Raises: Malformed.
    """
    words = fields.get("status", "").split()
    if len(words) != 3:
        raise Malformed(
            where=STATUS, why=f"the status of {fields.get('package', '')[:60]!r} is not three words"
        )
    return words[2] not in ABSENT


def find_candidates(guest: Guest, request: Request) -> None:
    """Settle which version of each package is meant, and which are out.

    Raises: Malformed for pins that cannot be read, PlanError.
    """
    shelf = guest.shelf
    pins = read_pins(request.planning.preferences)
    indexes = (*shelf.indexes, NOW)
    guest.priorities = index_priorities(indexes, pins, guest.word("APT::Default-Release", ""))
    pinned = _pinned(guest, pins)
    guest.own = own = {*guest.packages, *pinned, *map(shelf.pool.str2id, request.forbidden)}
    for nameid in own:
        _settle(guest, nameid, pinned.get(nameid, []), indexes, request)
    names = own | shelf.contested
    for place, repo in enumerate(shelf.repos):
        if guest.priorities[place] <= 0:
            guest.unwanted.update(one.id for one in repo.solvables if one.nameid not in names)


def _out_of_others(guest: Guest, nameid: int) -> frozenset[int]:
    """The versions that are nobody's candidate of a package that an image does not have: they are
    the same for every image with the same priorities."""
    shelf, priorities = guest.shelf, guest.priorities
    if priorities not in shelf.others:
        if len(shelf.others) >= OTHERS_LIMIT:
            shelf.others.clear()
        shelf.others[priorities] = {}
    known = shelf.others[priorities]
    if nameid not in known:
        title = shelf.title(nameid)
        chosen = candidate(_offered(title), priorities)
        known[nameid] = frozenset(_left_out(title, chosen.version if chosen else ""))
    return known[nameid]


def _offered(title: Title) -> list[Offered]:
    """The versions on offer under a title."""
    return [Offered(text, version.places, False) for text, version in title.versions.items()]


def _left_out(title: Title, keep: str) -> tuple[int, ...]:
    """The ids of all versions on offer but one."""
    return (*title.repeats, *(one for text, one in title.ids.items() if text != keep))


def _pinned(guest: Guest, pins: Sequence[Pin]) -> dict[int, list[Pin]]:
    """The pins on each package, by the id of its title."""
    shelf = guest.shelf
    found: dict[int, list[Pin]] = {}
    sources: dict[str, set[tuple[int, str]]] | None = None

    def names() -> Iterator[str]:
        yield from shelf.names
        yield from (one.title.partition(":")[0] for one in guest.packages.values())

    for name, pin in pins_by_name(pins, names()):
        arches = (
            [pin.arch]
            if pin.arch not in ("", "any", "*")
            else [shelf.words.native]
            if not pin.arch
            else list(shelf.words.architectures)
        )
        if name.startswith("src:"):
            if sources is None:
                sources = _sources(guest)
            titles = {
                nameid for nameid, arch in sources.get(name[4:], ()) if arch in (*arches, "all")
            }
        else:
            titles = {shelf.pool.str2id(shelf.words.named(name, arch)) for arch in arches}
        for nameid in titles:
            found.setdefault(nameid, []).append(pin)
    return found


def _sources(guest: Guest) -> dict[str, set[tuple[int, str]]]:
    """The packages of each source, by the source's name."""
    found = {name: set(titles) for name, titles in guest.shelf.sources.items()}
    for nameid, one in guest.packages.items():
        found.setdefault(one.now.facts.source, set()).add((nameid, one.now.facts.arch))
    return found


def _settle(
    guest: Guest,
    nameid: int,
    pins: Sequence[Pin],
    indexes: Sequence[IndexFile],
    request: Request,
) -> None:
    """Find one package's candidate and put all its other versions out."""
    shelf, installed = guest.shelf, guest.packages.get(nameid)
    title = shelf.title(nameid)
    versions, offered = title.versions, _offered(title)
    if installed is not None:
        text = installed.now.facts.version
        places = versions[text].places if text in versions else ()
        offered = [one for one in offered if one.version != text]
        offered.append(Offered(text, (*places, len(shelf.indexes)), True))
        facts = _as_listed(installed.now.facts, versions[text].facts if text in versions else None)
        installed.now = installed.now._replace(places=places, facts=facts)
    if pins:
        offered = [_with_pin(one, pins, indexes, versions) for one in offered]
    chosen = candidate(offered, guest.priorities)
    if installed is not None and request.mode == "security":
        only = candidate(offered, _behind_security(guest.priorities, indexes))
        safe = only is not None and any(indexes[place].security for place in only.places)
        if only is not None and safe and not only.is_installed:
            chosen, installed.is_security = only, True
    keep = versions.get(chosen.version) if chosen is not None and not chosen.is_installed else None
    if keep is not None and installed is not None and not request.phased:
        gradual = not any(indexes[place].security for place in keep.places)
        if gradual and keep.facts.phase < EVERYONE:
            installed.left = PHASED_WHY.format(share=keep.facts.phase)
            keep = None
    if request.forbidden and shelf.pool.id2str(nameid).partition(":")[0] in request.forbidden:
        keep = None
    if installed is not None and pins and keep is None and not installed.left:
        installed.left = _kept_by_pins(offered, guest.priorities, indexes, request)
    if installed is not None:
        installed.candidate, installed.is_unwanted = keep, chosen is None
    guest.unwanted.update(_left_out(title, keep.facts.version if keep else ""))


def _as_listed(facts: Facts, listed: Facts | None) -> Facts:
    """What is said of an installed version: its section and priority are those of the repository
    that still offers it, which may have its own mind about them."""
    if listed is None or (facts.section, facts.priority) == (listed.section, listed.priority):
        return facts
    return facts._replace(section=listed.section, priority=listed.priority)


def _kept_by_pins(
    offered: Sequence[Offered],
    priorities: Sequence[int],
    indexes: Sequence[IndexFile],
    request: Request,
) -> str:
    """Why a package stays as it is that would be upgraded but for pins on it; nothing where it
    would stay anyway."""
    security = request.mode == "security"
    free = candidate(
        [one._replace(pin=None) for one in offered],
        _behind_security(priorities, indexes) if security else priorities,
    )
    mine = next(one for one in offered if one.is_installed)
    if free is None or free.key <= mine.key:
        return ""
    safe = any(indexes[place].security for place in free.places)
    return PINNED_WHY if safe or not security else ""


def _with_pin(
    one: Offered, pins: Sequence[Pin], indexes: Sequence[IndexFile], versions: dict[str, Version]
) -> Offered:
    """A version with what the first pin that fits it says."""
    sources = [indexes[place] for place in one.places]
    facts = versions[one.version].facts if one.version in versions else None
    for pin in pins:
        if pin.name.startswith("src:") and facts is not None and facts.source != pin.name[4:]:
            continue
        if pins_version(pin, one.version, sources):
            return one._replace(pin=pin.priority)
    return one


def _behind_security(priorities: Sequence[int], indexes: Sequence[IndexFile]) -> tuple[int, ...]:
    """Priorities with which nothing but a security update moves an installed package."""
    return tuple(
        priority
        if index.security or index.form == INSTALLED_FORM
        else min(priority, BELOW_INSTALLED)
        for priority, index in zip(priorities, indexes, strict=True)
    )
