"""What recipes add to a plan: steps of applications, the errands that make them, and the
applications that must be observed afterwards; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from msgspec.structs import replace

from regild.model.content import Application, Content, Package
from regild.model.plan import Archive, Errand, Mode, Plan, Skipped, Step
from regild.model.recipe import ApplicationRelease, Recipe
from regild.model.versions import ORDERS
from regild.plan.permit import check_plan, fits
from regild.plan.policy import ASKED_WHY, EXCLUDED_WHY, POLICY_WHY
from regild.plan.steps import identity_of
from regild.plan.wishes import Policy, Wishes

APPLICATION = "application"
"""The type of a step whose application belongs to no family of packages."""
OFFLINE_WHY = "its commands run apart, over the guest's files; all that they change is recorded"


class Offers(Protocol):
    """What a recipe offers at one moment."""

    @property
    def recipe(self) -> Recipe:
        """The recipe itself."""

    @property
    def releases(self) -> tuple[ApplicationRelease, ...]:
        """The versions that can be had."""

    @property
    def index(self) -> Any:
        """The digest of the list that says so, or None."""

    @property
    def date(self) -> str:
        """When that list was made."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What one recipe adds to a plan."""

    steps: tuple[Step, ...] = ()
    errands: tuple[Errand, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    packages: tuple[tuple[Package | None, Package | None], ...] = ()
    """Packages of languages, as they are and as they become."""
    applications: tuple[tuple[Application, Application], ...] = ()
    """Applications, as they are and as they become."""


def with_additions(
    plan: Plan, content: Content, additions: Sequence[Addition], policy: Policy
) -> Plan:
    """A plan with what recipes add to it; the same plan where they add nothing.

    Raises: MethodRefused, NewPackageRefused, PlanTooLarge.
    """
    errands = tuple(one for added in additions for one in added.errands)
    skipped = tuple(one for added in additions for one in added.skipped)
    if not errands and not skipped:
        return replace(plan, applications=content.applications) if additions else plan
    booted = plan.carrier == "boot"
    steps = tuple(
        replace(step, method="boot", method_why=plan.carrier_why) if booted else step
        for added in additions
        for step in added.steps
    )
    files = {file.digest: file.bytes for one in errands for file in one.files}
    changed = replace(
        plan,
        steps=(*plan.steps, *steps),
        errands=errands,
        skipped=(*plan.skipped, *skipped),
        expected=_expected(plan.expected, additions),
        applications=_applications(content.applications, additions),
        download_bytes=plan.download_bytes + sum(files.values()),
    )
    check_plan(changed, policy)
    return replace(changed, id=identity_of(changed))


def _expected(packages: tuple[Package, ...], additions: Iterable[Addition]) -> tuple[Package, ...]:
    """The package list with what recipes change of languages' packages."""
    rest = list(packages)
    moved = False
    for was, becomes in (pair for added in additions for pair in added.packages):
        moved = True
        if was is not None:
            rest.remove(was)
        if becomes is not None:
            rest.append(becomes)
    if not moved:
        return packages
    return tuple(sorted(rest, key=lambda one: (one.type, one.name, one.arch, one.version)))


def _applications(
    applications: tuple[Application, ...], additions: Iterable[Addition]
) -> tuple[Application, ...]:
    """What must be observed; where somebody's own commands run, they may bring and take what no
    recipe knows."""
    moves = dict(pair for added in additions for pair in added.applications)
    is_free = any(added.errands and not added.steps for added in additions)
    after = (moves.get(one, one) for one in applications)
    return tuple(one for one in after if one.recipe or not is_free)


def plan_application(offers: Offers, content: Content, wishes: Wishes, policy: Policy) -> Addition:
    """What brings the places of a vendor's application up to date.

    In the mode `security` only where one of the newer versions is a security update.
    """
    recipe, addition = offers.recipe, Addition()
    order = ORDERS[recipe.order]
    for one in content.applications:
        if one.recipe != recipe.name:
            continue
        newer = [it for it in offers.releases if order(it.version) > order(one.version)]
        newer.sort(key=lambda it: order(it.version))
        if not newer or (wishes.mode == "security" and not any(it.security for it in newer)):
            continue
        if (why := why_left(recipe.name, wishes, policy)) is not None:
            if why:
                skipped = Skipped(recipe.name, why, available=newer[-1].version)
                addition = _added(addition, Addition(skipped=(skipped,)))
            continue
        addition = _added(addition, _moved(one, newer, offers))
    return addition


def why_left(name: str, wishes: Wishes, policy: Policy) -> str | None:
    """Why an application is left as it is; None where it is not, and empty where that needs no
    word, since only others were asked for."""
    for patterns, why in (
        (wishes.hold, ASKED_WHY),
        (policy.holds, POLICY_WHY),
        (wishes.exclude, EXCLUDED_WHY),
    ):
        if fits(name, patterns):
            return why
    if wishes.only and not any(fnmatchcase(name, one) for one in wishes.only):
        return ""
    return None


def _added(one: Addition, two: Addition) -> Addition:
    return Addition(
        one.steps + two.steps,
        one.errands + two.errands,
        one.skipped + two.skipped,
        one.packages + two.packages,
        one.applications + two.applications,
    )


def _moved(one: Application, newer: list[ApplicationRelease], offers: Offers) -> Addition:
    """The step from one version to the newest, and its errand."""
    recipe, release = offers.recipe, newer[-1]
    is_security = any(it.security for it in newer)
    step = Step(
        "upgrade",
        recipe.name,
        "",
        one.version,
        release.version,
        type=APPLICATION,
        source=recipe.name,
        source_version=release.version,
        method_why=OFFLINE_WHY,
        why=f"{'security update' if is_security else 'newer'} by the recipe {recipe.name}",
        fixes=tuple(dict.fromkeys(cve for it in newer for cve in it.fixes)),
        evidence="recipe" if any(it.fixes for it in newer) else "",
        security=is_security,
        archive=release.files[0] if release.files else None,
        recipe=recipe.name,
    )
    settings = (
        ("REGILD_FROM", one.version),
        ("REGILD_VERSION", release.version),
        ("REGILD_WHERE", one.where),
    )
    errand = errand_of(recipe, release.files, settings)
    errand = replace(errand, index=offers.index, index_date=offers.date)
    becomes = replace(one, version=release.version)
    return Addition((step,), (errand,), applications=((one, becomes),))


def errand_of(
    recipe: Recipe, files: tuple[Archive, ...] = (), settings: tuple[tuple[str, str], ...] = ()
) -> Errand:
    """What a recipe runs, as a plan has it."""
    return Errand(
        recipe.name,
        commands=recipe.commands,
        tests=recipe.tests,
        changes=recipe.changes,
        files=files,
        settings=settings,
        recipe=recipe.digest,
        origin=recipe.origin,
        packages=recipe.packages,
    )


def bare_plan(content: Content, mode: Mode = "upgrade") -> Plan:
    """A plan that changes no package, for errands alone."""
    return Plan(content.state, content.state, "disk", mode, expected=content.packages)
