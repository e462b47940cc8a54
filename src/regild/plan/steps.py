"""From content and available releases to a plan: the steps, their reasons, and the outcome; pure
but for the solver, which is handed in."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec.structs import replace

from regild.errors import PlanError, Unsolvable
from regild.model.content import Content
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.plan import Basis, Carrier, Errand, FeedState, Plan, Skipped, Step
from regild.model.release import IndexFile, Release
from regild.model.versions import is_newer
from regild.plan.carrier import OFFLINE, carrier_after, carrier_before, writers_of
from regild.plan.expected import expected_packages
from regild.plan.family import Family, family_of
from regild.plan.permit import check_names, check_plan, check_room, expand, rooms
from regild.plan.policy import ASKED_WHY, EXCLUDED_WHY, HELD_WHY, PLACE_WHY, POLICY_WHY, why_kept
from regild.plan.restart import restart_why
from regild.plan.sizes import growths
from regild.plan.solver import Move, Request, Solver, Transaction
from regild.plan.wishes import Policy, Wishes

ANYTHING = Policy()


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
    wishes: Wishes,
    solve: Solver,
    policy: Policy = ANYTHING,
) -> Plan:
    """The plan for an image: equal inputs give an equal plan, with the same id.

    Where the change has to be made offline, packages that take the booted machine are left out.

    Raises: NotInstalled, Unsolvable, RemovalRefused, NewPackageRefused, MethodRefused,
    PlanTooLarge, DiskTooSmall, UnsupportedCarrier, PlanError for what no feed offers.
    """
    check_names(wishes, content)
    reasons = _reasons_to_hold(wishes, policy, content)
    carrier, carrier_why = carrier_before(wishes, policy)
    offline = carrier in OFFLINE and bool(carrier_why)
    holds = {*_booted_for(content, offline), *reasons}
    request = _request(content, available, wishes, policy, holds)
    moves, solved = _solved(request, content, solve, offline)
    reasons = {**solved.reasons, **reasons}
    releases = {move: _release(move, available) for move in moves}
    present, type = _names_after(content, moves), content.planning.type
    steps = tuple(_step(move, type, releases, present, reasons) for move in moves)
    carrier, carrier_why = (carrier, carrier_why) if carrier_why else carrier_after(steps)
    steps = tuple(_carried(step, carrier, carrier_why) for step in steps)
    kept = {*solved.kept, *_held_back(content, request.holds, moves, available)}
    skipped = tuple(_skipped(name, content, available, reasons, offline) for name in sorted(kept))
    sizes = growths(content, zip(steps, releases.values(), strict=True))
    plan = Plan(
        id=content.state,
        base=content.state,
        basis=basis,
        mode=wishes.mode,
        steps=steps,
        skipped=skipped,
        expected=expected_packages(content, steps, solved.marks),
        feeds=available.feeds,
        download_bytes=sum(step.archive.bytes for step in steps if step.archive),
        disk_bytes=sum(sizes.values()),
        room=rooms(content, steps, sizes),
        asked=_asked(request),
        carrier=carrier,
        carrier_why=carrier_why,
        writers=writers_of(content.volumes),
        seal=tuple(sorted(set(wishes.seal))),
        marks=solved.marks,
    )
    check_plan(plan, policy)
    check_room(plan.room)
    return replace(plan, id=identity_of(plan))


def _request(
    content: Content, available: Available, wishes: Wishes, policy: Policy, holds: set[str]
) -> Request:
    """What the solver is asked."""
    return Request(
        content.planning,
        available.indexes,
        wishes.mode,
        tuple(sorted(holds)),
        expand(wishes.only, _names_of(content)) if wishes.only else None,
        wishes.autoremove,
        policy.phased,
    )


def _reasons_to_hold(wishes: Wishes, policy: Policy, content: Content) -> dict[str, str]:
    """Why packages are left as they are by the site's or the image's own wish, by name."""
    names = _names_of(content)
    found = {one.name: HELD_WHY for one in content.packages if one.hold}
    found |= dict.fromkeys(expand(policy.holds, names), POLICY_WHY)
    found |= dict.fromkeys(expand(wishes.exclude, names), EXCLUDED_WHY)
    return found | dict.fromkeys(expand(wishes.hold, names), ASKED_WHY)


def _names_of(content: Content) -> set[str]:
    return {one.name for one in content.packages if one.type == content.planning.type}


def _solved(
    request: Request, content: Content, solve: Solver, offline: bool
) -> tuple[tuple[Move, ...], Transaction]:
    """What changes, sorted, and all that the solver answered.

    Where the solver would bring in what takes the booted machine, and that is not to be booted, it
    is asked again without it.

    Raises: Unsolvable.
    """
    family = family_of(content.planning.type)
    for _ in range(ROUNDS_LIMIT):
        transaction = solve(request)
        moves = tuple(_settled(move, content) for move in transaction.moves)
        unwanted = _unwanted(moves, content, family, offline)
        if not unwanted:
            order = sorted(moves, key=lambda one: (one.name, one.arch, one.becomes, one.was))
            return tuple(order), transaction
        # A hold alone does not keep a further version of a kernel from coming in beside the old.
        if unwanted <= {*request.forbidden}:
            break
        request = replace(
            request,
            forbidden=(*request.forbidden, *sorted(unwanted)),
            holds=(*request.holds, *sorted(unwanted)),
        )
    why = f"it cannot be solved without touching {', '.join(sorted(unwanted)[:3])}"
    raise Unsolvable(where="the image", why=why)


def _carried(step: Step, carrier: Carrier, why: str) -> Step:
    """A step as its plan's carrier makes it: in the booted guest also what is safe offline."""
    is_booted = carrier == "boot" and step.method != "boot"
    return replace(step, method="boot", method_why=why) if is_booted else step


def _unwanted(moves: tuple[Move, ...], content: Content, family: Family, offline: bool) -> set[str]:
    """Names of what takes the booted machine, where a plan leaves that out."""
    if not (offline and family.leaves_boot):
        return set()
    present = _names_after(content, moves)
    return {one.name for one in moves if family.choose_method(one.name, present)[0] == "boot"}


def _booted_for(content: Content, offline: bool) -> tuple[str, ...]:
    """Names of the installed packages that a plan for a change offline leaves out."""
    family = family_of(content.planning.type)
    names = _names_after(content, ()) if offline and family.leaves_boot else frozenset()
    return tuple(sorted(name for name in names if family.choose_method(name, names)[0] == "boot"))


def _names_after(content: Content, moves: tuple[Move, ...]) -> frozenset[str]:
    """Names of the guest's packages once the moves are made."""
    gone = {move.name for move in moves if move.action == "remove"}
    mine = (one.name for one in content.packages if one.type == content.planning.type)
    kept = {name for name in mine if name not in gone}
    return frozenset({*kept, *(move.name for move in moves if move.action != "remove")})


def _settled(move: Move, content: Content) -> Move:
    """A move with the architecture of what is installed: the solver names it for foreign ones
    only."""
    native = content.planning.architectures[:1]
    if move.action != "remove" or move.arch:
        return move
    type = content.planning.type
    mine = [one.arch for one in content.packages if (one.type, one.name) == (type, move.name)]
    fitting = (*native, family_of(type).any_arch)
    arch = next((arch for arch in mine if arch in fitting), move.arch)
    return replace(move, arch=arch)


ROUNDS_LIMIT = 5


def _release(move: Move, available: Available) -> Release | None:
    if move.action == "remove":
        return None
    found = available.find_release(move.name, move.becomes, move.arch)
    if found is None:
        why = f"the solver chose {move.name} {move.becomes}, which no verified index holds"
        raise PlanError(where="the image", why=why)
    return found


def _step(
    move: Move,
    type: str,
    releases: dict[Move, Release | None],
    present: frozenset[str],
    reasons: dict[str, str],
) -> Step:
    release = releases[move]
    method, method_why = family_of(type).choose_method(move.name, present)
    if release is None:
        why = reasons.get(move.name, "it conflicts with an upgrade")
        step = Step("remove", move.name, move.arch, move.was, type=type, why=why)
        return replace(step, method=method, method_why=method_why)
    return Step(
        type=type,
        action=move.action,
        name=move.name,
        arch=move.arch,
        was=move.was,
        becomes=move.becomes,
        source=release.source,
        source_version=release.source_version,
        method=method,
        method_why=method_why,
        why=_why(move, type, release, releases, reasons),
        security=release.security,
        archive=release.archive,
        restart=restart_why(move.name),
    )


def _why(
    move: Move,
    type: str,
    release: Release,
    releases: dict[Move, Release | None],
    reasons: dict[str, str],
) -> str:
    """One sentence: where the version comes from, or what pulled a new package in."""
    if move.action == "upgrade" and is_newer(type, move.was, move.becomes):
        return f"older: the image's settings prefer {release.suite}"
    if move.action == "upgrade":
        kind = "security update from" if release.security else "newer in"
        return f"{kind} {release.suite}"
    provided = {move.name, *release.provides, *move.paths}
    wanting = sorted(
        other.name
        for one, other in releases.items()
        if other is not None and one.name != move.name and provided & set(other.needs)
    )
    if wanting:
        return f"needed by {', '.join(wanting[:3])}"
    mine = PLACE_WHY.format(name=move.name)
    replaced = [one.name for one in releases if reasons.get(one.name) == mine]
    return f"in place of {', '.join(replaced[:3])}" if replaced else f"new in {release.suite}"


def _held_back(
    content: Content, holds: tuple[str, ...], moves: tuple[Move, ...], available: Available
) -> set[str]:
    """Packages on hold, in the image or by `holds`, that have something newer, said or not."""
    moving = {move.name for move in moves}
    found = set()
    for one in content.packages:
        held = one.hold or one.name in holds
        if one.type != content.planning.type or one.name in moving or not held:
            continue
        newest = available.find_newest(one.name, one.arch)
        if newest is not None and is_newer(one.type, newest.version, one.version):
            found.add(one.name)
    return found


def _skipped(
    name: str, content: Content, available: Available, reasons: dict[str, str], offline: bool
) -> Skipped:
    installed = next((one for one in content.packages if one.name == name), None)
    arch = installed.arch if installed else ""
    newest = available.find_newest(name, arch)
    family = family_of(content.planning.type)
    method, why = family.choose_method(name, _names_after(content, ()))
    booted = why if method == "boot" and offline and family.leaves_boot else ""
    kept = why_kept(name, reasons, booted)
    return Skipped(name, kept, arch, newest.version if newest else "")


def _asked(request: Request) -> Digest:
    """The digest of what a solver was asked beside the image and the feeds."""
    asked = (request.mode, request.holds, request.only, request.autoremove, request.phased)
    return sha256_of(canonical(asked))


def identity_of(plan: Plan) -> Digest:
    """The digest of everything that decides what the plan does; not of what it tells about it."""
    moves: list[Any] = [
        (step.action, step.name, step.arch, step.was, step.becomes, step.method, _archive(step))
        for step in plan.steps
    ]
    feeds = [feed.digest for feed in plan.feeds]
    parts: list[Any] = [plan.base, plan.mode, plan.asked, feeds, moves]
    if plan.errands:  # so that plans of old keep their ids
        parts.append([_orders(one) for one in plan.errands])
    if plan.seal:
        parts.append(("seal", plan.seal))
    if plan.marks:
        parts.append(("marks", [(one.name, one.arch, one.auto) for one in plan.marks]))
    if plan.carrier == "uml":  # of the boot carrier the steps speak
        parts.append(("carrier", plan.carrier))
    return sha256_of(canonical(tuple(parts)))


def _orders(errand: Errand) -> Any:
    """What decides what an errand does; not where its files are read."""
    files = [(one.name, one.digest) for one in errand.files]
    return replace(errand, files=(), index_date=""), files


def _archive(step: Step) -> str:
    return step.archive.digest if step.archive else ""


def verdict(plan: Plan, has_unknowns: bool) -> int:
    """The exit code of a plan: 3 unread, 10 to do, 11 only what was left out or claimed, 0 done."""
    if has_unknowns:
        return 3
    if plan.changes_something:
        return 10
    return 11 if plan.skipped or plan.basis == "descriptor" else 0
