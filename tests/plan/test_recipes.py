"""What recipes add to a plan: pure, the same every time, and nothing where nothing is newer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from regild.errors import MethodRefused, PlanTooLarge
from regild.model.content import Application, Content, Package, Planning, Platform
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Archive, Mode, Plan
from regild.model.recipe import ApplicationRelease, Recipe
from regild.plan.recipes import Addition, bare_plan, plan_application, with_additions
from regild.plan.steps import ANYTHING, identity_of, verdict
from regild.plan.wishes import Policy, Wishes

RECIPE = Recipe(
    "acme",
    sha256_of(b"recipe"),
    "site",
    "/srv/recipes",
    commands=(("true",),),
    tests=(("test", "-e", "/opt/acme"),),
    changes=("/opt/acme",),
)
OLD = Application("acme", "1.9", "/opt/acme/VERSION", "acme")
CONTENT = Content(
    Platform(),
    (Package("deb", "tool", "1.0"),),
    (OLD, Application("other", "1.0", "/opt/other")),
    planning=Planning("deb", architectures=("amd64",)),
)


@dataclass(frozen=True)
class Shelf:
    releases: tuple[ApplicationRelease, ...]
    recipe: Recipe = RECIPE
    index: Digest | None = None
    date: str = ""


def release(version: str, security: bool = False) -> ApplicationRelease:
    file = Archive(f"http://mirror.example/{version}", "acme.tgz", sha256_of(version.encode()), 100)
    fixes = (f"CVE-2026-{version.replace('.', '')}",) if security else ()
    return ApplicationRelease(version, (file,), security, fixes)


def planned(
    *versions: ApplicationRelease,
    policy: Policy = ANYTHING,
    **wishes: object,
) -> Plan:
    wished = Wishes(**wishes)  # type: ignore[arg-type]  # fields of Wishes
    added = plan_application(Shelf(versions), CONTENT, wished, policy)
    return with_additions(bare_plan(CONTENT, wished.mode), CONTENT, [added], policy)


def test_the_newest_version_is_a_step_with_reason_and_digest() -> None:
    plan = planned(release("1.10"), release("2.0", security=True), release("1.0"))
    (step,) = plan.steps
    assert (step.name, step.was, step.becomes, step.recipe) == ("acme", "1.9", "2.0", "acme")
    assert step.archive is not None
    assert step.archive.digest == sha256_of(b"2.0")
    assert (step.why, step.fixes) == ("security update by the recipe acme", ("CVE-2026-20",))
    (errand,) = plan.errands
    assert errand.recipe == RECIPE.digest
    assert dict(errand.settings)["REGILD_VERSION"] == "2.0"
    assert plan.download_bytes == 100
    assert verdict(plan, has_unknowns=False) == 10


def test_the_result_that_must_be_observed_is_part_of_the_plan() -> None:
    plan = planned(release("2.0"))
    assert plan.applications == (replace(OLD, version="2.0"), CONTENT.applications[1])
    assert plan.expected == CONTENT.packages


def test_planning_the_expected_content_is_empty() -> None:
    plan = planned(release("2.0"))
    after = replace(CONTENT, applications=plan.applications or ())
    added = plan_application(Shelf((release("2.0"),)), after, Wishes(), Policy())
    again = with_additions(bare_plan(after), after, [added], Policy())
    assert not again.changes_something
    assert again.id == bare_plan(after).id


@pytest.mark.parametrize(
    ("mode", "versions", "becomes"),
    [
        ("security", (release("2.0"),), []),
        ("security", (release("2.0", security=True), release("2.1")), ["2.1"]),
        ("security", (release("1.8", security=True), release("2.1")), []),
        ("full", (release("1.9"),), []),
    ],
)
def test_only_security_updates_are_taken_where_only_they_are_wanted(
    mode: Mode, versions: tuple[ApplicationRelease, ...], becomes: list[str]
) -> None:
    assert [step.becomes for step in planned(*versions, mode=mode).steps] == becomes


@pytest.mark.parametrize("wish", [{"hold": ("acme",)}, {"exclude": ("ac*",)}])
def test_an_application_can_be_held_as_a_package_can(wish: dict[str, tuple[str, ...]]) -> None:
    plan = planned(release("2.0"), **wish)
    assert plan.steps == ()
    assert [(one.name, one.available) for one in plan.skipped] == [("acme", "2.0")]
    assert verdict(plan, has_unknowns=False) == 11
    assert planned(release("2.0"), only=("tool",)).skipped == ()
    assert len(planned(release("2.0"), only=("acme",)).steps) == 1


def test_the_policy_counts_for_applications_too() -> None:
    assert planned(release("2.0"), policy=Policy(holds=("acme",))).steps == ()
    with pytest.raises(MethodRefused):
        planned(release("2.0"), policy=Policy(methods=("boot",)))
    with pytest.raises(PlanTooLarge):
        planned(release("2.0"), policy=Policy(download_limit=50))


def test_the_id_says_all_that_decides_and_no_place() -> None:
    plan = planned(release("2.0"))
    (errand,) = plan.errands
    moved = [replace(one, uri="file:///elsewhere") for one in errand.files]
    same = replace(plan, errands=(replace(errand, files=tuple(moved)),))
    assert identity_of(same) == plan.id
    for other in (
        replace(errand, commands=(("false",),)),
        replace(errand, tests=()),
        replace(errand, changes=()),
        replace(errand, files=(replace(errand.files[0], digest=sha256_of(b"x")),)),
        replace(errand, settings=()),
    ):
        assert identity_of(replace(plan, errands=(other,))) != plan.id


def test_without_recipes_a_plan_is_what_it_was() -> None:
    plan = bare_plan(CONTENT)
    assert with_additions(plan, CONTENT, [], Policy()) == plan
    assert plan.applications is None


def test_with_a_command_of_ones_own_only_what_recipes_know_is_expected() -> None:
    errand = planned(release("2.0")).errands[0]
    plan = with_additions(bare_plan(CONTENT), CONTENT, [Addition(errands=(errand,))], Policy())
    assert plan.applications == (OLD,)
