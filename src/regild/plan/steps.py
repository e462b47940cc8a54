"""From content and available releases to a plan: the steps, their reasons, and the outcome; pure
but for the solver, which is handed in."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec.structs import replace

from regild.errors import PlanError, Unsolvable
from regild.model.content import Content, Package
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.plan import Basis, FeedState, Mode, Plan, Skipped, Step
from regild.model.purl import debian_url
from regild.model.release import IndexFile, Release
from regild.model.versions import is_newer
from regild.plan.method import choose_method
from regild.plan.policy import why_kept
from regild.plan.solver import Move, Request, Solver


class Available(Protocol):
    """What the feeds offer, verified."""

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """The repositories as they were believed."""

    @property
    def indexes(self) -> tuple[IndexFile, ...]:
        """What each of them offers, as a solver reads it."""

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
    holds = tuple(sorted({*_booted_for(content), *hold}))
    request = Request(content.planning, available.indexes, mode, holds)
    moves, kept = _solved(request, content, available, solve)
    releases = {move: _release(move, available) for move in moves}
    present = _names_after(content, moves)
    steps = tuple(_step(move, releases, present) for move in moves)
    kept |= _held_back(content, {*holds, *held}, moves, available)
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
        disk_bytes=_growth(content, releases),
    )


def _solved(
    request: Request, content: Content, available: Available, solve: Solver
) -> tuple[tuple[Move, ...], set[str]]:
    """What changes, sorted, and the names of what is kept back.

    Where the solver would bring in what takes the booted machine, it is asked again without it.

    Raises: Unsolvable.
    """
    for _ in range(ROUNDS_LIMIT):
        transaction = solve(request)
        moves = tuple(_settled(move, content) for move in transaction.moves)
        present = _names_after(content, moves)
        unwanted = {move.name for move in moves if choose_method(move.name, present)[0] == "boot"}
        if not unwanted:
            return tuple(sorted(moves, key=lambda one: (one.name, one.arch))), {*transaction.kept}
        if unwanted <= {*request.forbidden, *request.holds}:
            break
        request = replace(
            request,
            forbidden=(*request.forbidden, *sorted(unwanted)),
            holds=(*request.holds, *sorted(unwanted)),
        )
    why = f"it cannot be solved without touching {', '.join(sorted(unwanted)[:3])}"
    raise Unsolvable(where="the image", why=why)


def _booted_for(content: Content) -> tuple[str, ...]:
    """Names of the installed packages that can be changed on the booted machine only."""
    names = _names_after(content, ())
    return tuple(sorted(name for name in names if choose_method(name, names)[0] == "boot"))


def _names_after(content: Content, moves: tuple[Move, ...]) -> frozenset[str]:
    """Names of the guest's packages once the moves are made."""
    gone = {move.name for move in moves if move.action == "remove"}
    kept = {one.name for one in content.packages if one.type == "deb" and one.name not in gone}
    return frozenset({*kept, *(move.name for move in moves if move.action != "remove")})


def _settled(move: Move, content: Content) -> Move:
    """A move with the architecture of what is installed: the solver names it for foreign ones
    only."""
    native = content.planning.architectures[:1]
    if move.action != "remove" or move.arch:
        return move
    mine = [one.arch for one in content.packages if (one.type, one.name) == ("deb", move.name)]
    arch = next((arch for arch in mine if arch in (*native, "all")), move.arch)
    return replace(move, arch=arch)


def expected_packages(content: Content, steps: tuple[Step, ...]) -> tuple[Package, ...]:
    """The package list after the steps: what describing the result must show."""
    packages = {(one.type, one.name, one.arch): one for one in content.packages}
    native = content.planning.architectures[:1]
    for step in steps:
        # A package may become one for all architectures, or stop being one.
        same = (step.arch, *native, "all") if step.arch in (*native, "all") else (step.arch,)
        found = [packages.pop((step.type, step.name, arch), None) for arch in dict.fromkeys(same)]
        if step.action != "remove":
            before = next(filter(None, found), None)
            packages[step.type, step.name, step.arch] = _installed(before, step, content)
    return tuple(packages[key] for key in sorted(packages))


def _installed(before: Package | None, step: Step, content: Content) -> Package:
    """A package after its step; a new one is there for another's sake, as apt marks it."""
    start = before or Package(
        type=step.type, name=step.name, version="", auto=True, where=DPKG_STATUS
    )
    return replace(
        start,
        version=step.becomes,
        arch=step.arch,
        source=step.source,
        source_version=step.source_version,
        purl=debian_url(step.name, step.becomes, step.arch, content.platform),
        state="installed",
    )


DPKG_STATUS = "/var/lib/dpkg/status"
ROUNDS_LIMIT = 5


def _release(move: Move, available: Available) -> Release | None:
    if move.action == "remove":
        return None
    found = available.find_release(move.name, move.becomes, move.arch)
    if found is None:
        why = f"the solver chose {move.name} {move.becomes}, which no verified index holds"
        raise PlanError(where="the image", why=why)
    return found


def _step(move: Move, releases: dict[Move, Release | None], present: frozenset[str]) -> Step:
    release = releases[move]
    method, method_why = choose_method(move.name, present)
    if release is None:
        why = "it conflicts with an upgrade"
        step = Step("remove", move.name, move.arch, move.was, why=why)
        return replace(step, method=method, method_why=method_why)
    return Step(
        action=move.action,
        name=move.name,
        arch=move.arch,
        was=move.was,
        becomes=move.becomes,
        source=release.source,
        source_version=release.source_version,
        method=method,
        method_why=method_why,
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
    content: Content, holds: set[str], moves: tuple[Move, ...], available: Available
) -> set[str]:
    """Held packages that have something newer, whether or not the solver says so."""
    moving = {move.name for move in moves}
    found = set()
    for one in content.packages:
        if one.type != "deb" or one.name in moving or one.name not in holds:
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
    method, why = choose_method(name, _names_after(content, ()))
    kept = why_kept(name, held, asked, why if method == "boot" else "")
    return Skipped(name, kept, arch, newest.version if newest else "")


def _growth(content: Content, releases: dict[Move, Release | None]) -> int:
    """Bytes that the installed packages grow by, as they state it themselves."""
    sizes = _installed_sizes(content.planning.status)
    grown = 0
    for move, release in releases.items():
        grown += release.installed_kib if release else 0
        if move.was:
            others = (arch for name, arch in sizes if name == move.name)
            arch = move.arch if (move.name, move.arch) in sizes else next(others, "")
            grown -= sizes.get((move.name, arch), 0)
    return grown * 1024


def _installed_sizes(status: str) -> dict[tuple[str, str], int]:
    """Installed-Size (KiB) by package name and architecture."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in paragraph.splitlines())
        size = fields.get("Installed-Size", "").strip()
        if size.isdecimal():
            found[fields.get("Package", ""), fields.get("Architecture", "")] = int(size[:12])
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
