"""What advisories say of a plan: which weaknesses its steps take away, and which ones stay; pure.

A weakness is taken away where an advisory holds for the version before and not for the one after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec.structs import replace

from regild.model.advisory import (
    Advisory,
    AdvisoryFeed,
    Affected,
    Match,
    Weakness,
    ecosystems_of,
    gravest,
    source_of,
)
from regild.model.content import Content, Package
from regild.model.digest import canonical, sha256_of
from regild.model.plan import Basis, Mode, Plan, Skipped, Step
from regild.model.versions import ORDERS, is_newer

NO_FIX_WHY = "no fix is known"
INVESTIGATED_WHY = "its publisher still looks into it"
NOT_OFFERED_WHY = "the image's sources do not offer the fix in this mode"
WINDOWS_WHY = "updates of Windows are listed and not installed"
LISTED_LIMIT = 20_000
"""Weaknesses that a plan lists; more than any image has."""


class Known(Protocol):
    """The advisories that the site's feeds hold."""

    @property
    def feeds(self) -> tuple[AdvisoryFeed, ...]:
        """The inputs that were read."""

    def find(self, name: str) -> tuple[Match, ...]:
        """Every statement about packages of a name."""

    def exploited(self, cves: Iterable[str]) -> tuple[str, ...]:
        """Those that are known to be used in attacks."""

    def speaks_of(self, type: str, ecosystems: Iterable[str]) -> bool:
        """Whether any feed is about packages of a family in one of some ecosystems."""


def advised(plan: Plan, content: Content, known: Known) -> Plan:
    """The plan with what advisories say of its steps, and with what stays unfixed.

    Its id stays the same: advisories tell about a plan, they do not decide what it does.
    """
    if not known.feeds:
        return plan
    desk = _Desk(content, known)
    before = {(one.type, one.name, one.arch): one for one in content.packages}
    after = {(one.type, one.name, one.arch): one for one in plan.expected}
    steps = tuple(_advised(step, before, after, desk) for step in plan.steps)
    skipped = {one.name: one.why for one in plan.skipped}
    return replace(
        plan,
        steps=steps,
        advisories=known.feeds,
        unfixed=tuple(desk.weaknesses(plan.expected, skipped))[:LISTED_LIMIT],
    )


def watched(content: Content, basis: Basis, mode: Mode, known: Known) -> Plan:
    """A plan without steps for a build of Windows: which weaknesses it has, and which build of the
    newest update takes them away.

    Updates of Windows are not installed here, so the newest one stands among what is skipped.
    """
    build = _build_of(content)
    desk = _Desk(content, known)
    unfixed = tuple(desk.weaknesses((build,) if build else (), {}))
    newest = max((one.fixed for one in unfixed), key=ORDERS["windows"], default="")
    skipped = (Skipped("Windows", WINDOWS_WHY, content.platform.arch, newest),) if newest else ()
    return Plan(
        id=sha256_of(canonical((content.state, mode))),
        base=content.state,
        basis=basis,
        mode=mode,
        skipped=skipped,
        expected=content.packages,
        advisories=known.feeds,
        unfixed=unfixed[:LISTED_LIMIT],
    )


def _build_of(content: Content) -> Package | None:
    """The installed build of Windows as a package, whose version ends with its revision."""
    version = content.platform.version
    name, _, revision = version.rpartition(".")
    return Package("windows", name, version) if name.count(".") == 2 and revision else None


def with_exploited(plan: Plan, known: Known) -> Plan:
    """The plan with a mark at each step that takes away what is known to be used in attacks, by
    whatever evidence."""
    marked = tuple(
        replace(step, exploited=tuple(sorted({*step.exploited, *told}, key=_by_number)))
        if (told := known.exploited(step.fixes))
        else step
        for step in plan.steps
    )
    return replace(plan, steps=marked)


def is_covered(content: Content, known: Known) -> bool:
    """Whether the feeds speak of the distribution that an image holds."""
    return known.speaks_of(content.planning.type, ecosystems_of(content.platform))


def _advised(
    step: Step,
    before: dict[tuple[str, str, str], Package],
    after: dict[tuple[str, str, str], Package],
    desk: _Desk,
) -> Step:
    """A step with the advisories that hold no more after it."""
    installed = before.get((step.type, step.name, step.arch))
    # A package that changes its architecture is another row of the list.
    installed = installed or next(
        (one for key, one in before.items() if key[:2] == (step.type, step.name)), None
    )
    becomes = after.get((step.type, step.name, step.arch))
    if installed is None:
        return step
    # One id may stand for several weaknesses, as that of a vendor's monthly document does.
    left = {_key(match.advisory) for match in desk.matches(becomes)} if becomes else set()
    gone = [one.advisory for one in desk.matches(installed) if _key(one.advisory) not in left]
    if not gone:
        return step
    gone.sort(key=lambda one: (_rank(one), one.id))
    fixes = tuple(dict.fromkeys(cve for one in gone for cve in one.cves))
    ids = tuple(dict.fromkeys(one.id for one in gone))
    return replace(
        step,
        fixes=tuple(sorted(fixes, key=_by_number)),
        advisories=ids,
        evidence=ids[0],
        severity=gravest(tuple(one.severity for one in gone)),
        exploited=desk.exploited(gone),
        security=True,
    )


class _Desk:
    """Holds packages against advisories; each name is looked up once."""

    def __init__(self, content: Content, known: Known) -> None:
        self._ecosystems = ecosystems_of(content.platform) | {""}
        self._known = known
        self._found: dict[str, tuple[Match, ...]] = {}

    def matches(self, package: Package) -> list[Match]:
        """The statements that hold for a package, and that no publisher takes back for it."""
        said = [match for match in self._about(package) if _holds(match.affected, package)]
        cleared = {
            cve
            for match in said
            if match.affected.status == "not affected"
            for cve in match.advisory.cves or (match.advisory.id,)
        }
        return [
            match
            for match in said
            if match.affected.status != "not affected"
            and not {*(match.advisory.cves or (match.advisory.id,))} <= cleared
        ]

    def exploited(self, advisories: Iterable[Advisory]) -> tuple[str, ...]:
        """The CVE ids that are known to be used in attacks."""
        told = tuple(advisories)
        cves = tuple(dict.fromkeys(cve for one in told for cve in one.cves))
        said = {cve for one in told if one.exploited for cve in one.cves}
        listed = {*self._known.exploited(cves)} | said
        return tuple(sorted(listed, key=_by_number))

    def weaknesses(
        self, packages: tuple[Package, ...], skipped: dict[str, str]
    ) -> Iterator[Weakness]:
        """What holds for a list of packages, the gravest first."""
        found = []
        for package in packages:
            matches = self.matches(package)
            found += [self._weakness(package, one, skipped) for one in _each_once(matches)]
        yield from sorted(found, key=lambda one: (not one.exploited, _rank(one), one.package))

    def _weakness(self, package: Package, match: Match, skipped: dict[str, str]) -> Weakness:
        advisory, affected = match.advisory, match.affected
        if affected.status == "under investigation":
            why = INVESTIGATED_WHY
        elif not affected.fixed or affected.type == "windows":
            why = affected.note or NO_FIX_WHY
        else:
            why = skipped.get(package.name, NOT_OFFERED_WHY)
        return Weakness(
            advisory=advisory.id,
            package=package.name,
            version=package.version,
            cves=advisory.cves,
            severity=advisory.severity,
            exploited=bool(self.exploited((advisory,))),
            fixed=affected.fixed,
            why=why,
        )

    def _about(self, package: Package) -> Iterator[Match]:
        """What is said of a package by its own name or its source's, for this distribution."""
        names = {"binary": package.name, "source": source_of(package)[0]}
        for name in dict.fromkeys(names.values()):
            if name not in self._found:
                self._found[name] = self._known.find(name)
            for match in self._found[name]:
                one = match.affected
                fits = one.name == names[one.by] and one.type == package.type
                if fits and one.ecosystem in self._ecosystems:
                    yield match


def _holds(affected: Affected, package: Package) -> bool:
    """Whether a version lies in the span that a statement speaks of.

    Versions of a family whose order is not known here are only compared one by one.
    """
    version = source_of(package)[1] if affected.by == "source" else package.version
    if affected.versions:
        return version in affected.versions
    if package.type not in ORDERS:
        return not (affected.introduced or affected.fixed or affected.last)
    newer = [
        affected.introduced and is_newer(package.type, affected.introduced, version),
        affected.fixed and not is_newer(package.type, affected.fixed, version),
        affected.last and is_newer(package.type, version, affected.last),
    ]
    return not any(newer)


def _key(advisory: Advisory) -> tuple[str, tuple[str, ...]]:
    return advisory.id, advisory.cves


def _each_once(matches: list[Match]) -> list[Match]:
    """The statements without those of later feeds on the same weaknesses, whose gravest rating
    counts."""
    found: dict[tuple[str, ...], Match] = {}
    for match in matches:
        key = match.advisory.cves or (match.advisory.id,)
        if (told := found.get(key)) is None:
            found[key] = match
        else:
            worst = gravest((told.advisory.severity, match.advisory.severity))
            found[key] = replace(told, advisory=replace(told.advisory, severity=worst))
    return list(found.values())


def _rank(one: Advisory | Weakness) -> int:
    return RANKS.index(one.severity)


RANKS = ("critical", "high", "medium", "low", "", "negligible")
"""What nobody rated stands before what was rated as nothing."""


def _by_number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("-")[1:] if part.isdecimal())
