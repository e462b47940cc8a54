"""From content and available releases to a plan: the steps, their reasons, and the outcome; pure
but for the solver, which is handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from regild.errors import PlanError
from regild.model.content import Content, Package, Source
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.plan import Basis, FeedState, Mode, Plan, Skipped, Step
from regild.model.purl import debian_url
from regild.model.release import Release
from regild.model.versions import is_newer
from regild.plan.policy import boot_chain, why_kept
from regild.plan.solver import Move, Request, Solver, Transaction


class Available(Protocol):
    """What the feeds offer, verified."""

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """The repositories as they were believed."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The image's sources that the feeds answer for."""

    @property
    def lists(self) -> Path:
        """Their indexes, laid out as apt keeps its lists."""

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        """One version of a package."""

    def find_newest(self, name: str, arch: str) -> Release | None:
        """The newest version of a package that any feed offers."""


def make_plan(
    content: Content,
    basis: Basis,
    available: Available,
    mode: Mode,
    solve: Solver,
    hold: tuple[str, ...] = (),
) -> Plan:
    """The plan for an image: equal inputs give an equal plan, with the same id.

    `hold` names packages to leave as they are, besides the image's own holds.

    Raises: Unsolvable, PlanError when the solver wants what no feed offers.
    """
    held = frozenset(one.name for one in content.packages if one.hold)
    asked = frozenset(hold)
    holds = tuple(sorted({*boot_chain(content.packages), *hold}))
    request = Request(content.planning, available.sources, available.feeds, mode, holds)
    transaction = solve(request, available.lists)
    releases = {move: _release(move, available) for move in transaction.moves}
    moves = sorted(transaction.moves, key=lambda move: (move.name, move.arch))
    steps = tuple(_step(move, releases) for move in moves)
    kept = {*transaction.kept, *_held_back(content, holds, held, transaction, available)}
    skipped = tuple(_skipped(name, content, available, held, asked) for name in sorted(kept))
    return Plan(
        id=_identity(content.state, mode, holds, available.feeds, steps),
        base=content.state,
        basis=basis,
        mode=mode,
        steps=steps,
        skipped=skipped,
        expected=expected_packages(content, steps),
        feeds=available.feeds,
        download_bytes=sum(step.archive.bytes for step in steps if step.archive),
        disk_bytes=_growth(content, steps, releases),
    )


def expected_packages(content: Content, steps: tuple[Step, ...]) -> tuple[Package, ...]:
    """The package list after the steps: what describing the result must show."""
    packages = {(one.type, one.name, one.arch): one for one in content.packages}
    for step in steps:
        key = (step.type, step.name, step.arch)
        if step.action == "remove":
            _take_out(packages, step)
            continue
        before = packages.get(key)
        purl = debian_url(step.name, step.becomes, step.arch, content.platform)
        after = before or Package(
            type=step.type, name=step.name, version="", arch=step.arch, auto=True, where=DPKG_STATUS
        )
        packages[key] = replace(
            after,
            version=step.becomes,
            source=step.source,
            source_version=step.source_version,
            purl=purl,
            state="installed",
        )
    return tuple(packages[key] for key in sorted(packages))


DPKG_STATUS = "/var/lib/dpkg/status"


def _take_out(packages: dict[tuple[str, str, str], Package], step: Step) -> None:
    """Remove a package; a removal names no architecture where the package has only one."""
    for key in [key for key in packages if key[:2] == (step.type, step.name)]:
        if step.arch in ("", key[2]):
            del packages[key]


def _release(move: Move, available: Available) -> Release | None:
    if move.action == "remove":
        return None
    found = available.find_release(move.name, move.becomes, move.arch)
    if found is None:
        why = f"the solver chose {move.name} {move.becomes}, which no verified index holds"
        raise PlanError(where="the image", why=why)
    return found


def _step(move: Move, releases: dict[Move, Release | None]) -> Step:
    release = releases[move]
    if release is None:
        return Step("remove", move.name, move.arch, move.was, why="it conflicts with an upgrade")
    return Step(
        action=move.action,
        name=move.name,
        arch=move.arch,
        was=move.was,
        becomes=move.becomes,
        source=release.source,
        source_version=release.source_version,
        why=_why(move, release, releases),
        security=release.security,
        archive=release.archive,
    )


def _why(move: Move, release: Release, releases: dict[Move, Release | None]) -> str:
    """One sentence: where the version comes from, or what pulled a new package in."""
    if move.action == "upgrade":
        kind = "security update from" if release.security else "newer in"
        return f"{kind} {release.suite}"
    provided = {move.name, *release.provides}
    wanting = sorted(
        other.name
        for one, other in releases.items()
        if other is not None and one.name != move.name and provided & set(other.needs)
    )
    return f"needed by {', '.join(wanting[:3])}" if wanting else f"new in {release.suite}"


def _held_back(
    content: Content,
    holds: tuple[str, ...],
    held: frozenset[str],
    transaction: Transaction,
    available: Available,
) -> set[str]:
    """Held packages that have something newer, whether or not the solver says so."""
    moving = {move.name for move in transaction.moves}
    found = set()
    for one in content.packages:
        if one.type != "deb" or one.name in moving or one.name not in {*holds, *held}:
            continue
        newest = available.find_newest(one.name, one.arch)
        if newest is not None and is_newer("deb", newest.version, one.version):
            found.add(one.name)
    return found


def _skipped(
    name: str,
    content: Content,
    available: Available,
    held: frozenset[str],
    asked: frozenset[str],
) -> Skipped:
    installed = next((one for one in content.packages if one.name == name), None)
    arch = installed.arch if installed else ""
    newest = available.find_newest(name, arch)
    return Skipped(name, why_kept(name, held, asked), arch, newest.version if newest else "")


def _growth(content: Content, steps: tuple[Step, ...], releases: dict[Move, Release | None]) -> int:
    """Bytes that the installed packages grow by, as they state it themselves."""
    sizes = _installed_sizes(content.planning.status)
    grown = 0
    for move, release in releases.items():
        grown += release.installed_kib if release else 0
        grown -= sizes.get(move.name, 0) if move.was else 0
    return grown * 1024


def _installed_sizes(status: str) -> dict[str, int]:
    """Installed-Size (KiB) by package name."""
    found, name = {}, ""
    for line in status.splitlines():
        if line.startswith("Package: "):
            name = line[9:].strip()
        elif line.startswith("Installed-Size: ") and line[16:].strip().isdigit():
            found[name] = int(line[16:])
    return found


def _identity(
    base: Digest,
    mode: Mode,
    holds: tuple[str, ...],
    feeds: tuple[FeedState, ...],
    steps: tuple[Step, ...],
) -> Digest:
    """The digest of everything that decides what the plan does; not of what it tells about it."""
    moves: list[Any] = [
        (step.action, step.name, step.arch, step.was, step.becomes, step.method, _archive(step))
        for step in steps
    ]
    return sha256_of(canonical((base, mode, holds, [feed.digest for feed in feeds], moves)))


def _archive(step: Step) -> str:
    return step.archive.digest if step.archive else ""


def verdict(plan: Plan, has_unknowns: bool) -> int:
    """The exit code of a plan: 3 unread, 10 to do, 11 only what was left out or claimed, 0 done."""
    if has_unknowns:
        return 3
    if plan.steps:
        return 10
    return 11 if plan.skipped or plan.basis == "descriptor" else 0
