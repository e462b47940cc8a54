"""From a transaction to a plan: pure, the same every time, and empty where all is done."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from regild.errors import PlanError, Unsolvable, UnsupportedCarrier
from regild.model.content import Content, Package, Planning, Platform
from regild.model.digest import sha256_of
from regild.model.plan import Archive, FeedState, Plan
from regild.model.release import IndexFile, Release
from regild.model.versions import debian_key
from regild.plan.solver import Move, Request, Solver, Transaction
from regild.plan.steps import make_plan, verdict
from regild.plan.wishes import Policy, Wishes

FEED = FeedState("http://mirror.example/x", "stable", sha256_of(b"feed"), "2026-06-01T00:00:00Z")
PLATFORM = Platform("linux", "debian", "12", "bookworm", "Debian", "amd64")


@dataclass
class Shelf:
    """Releases in memory."""

    releases: dict[tuple[str, str, str], Release] = field(default_factory=dict)
    feeds: tuple[FeedState, ...] = (FEED,)
    indexes: tuple[IndexFile, ...] = ()

    def put(self, name: str, version: str, arch: str = "amd64", **facts: object) -> None:
        content = f"{name} {version} {arch}".encode()
        archive = Archive(f"http://mirror.example/{name}", name, sha256_of(content), len(content))
        release = Release(name, version, arch, archive, source=name, source_version=version)
        self.releases[name, version, arch] = replace(release, **{"suite": "stable", **facts})

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        return self.releases.get((name, version, arch))

    def find_newest(self, name: str, arch: str) -> Release | None:
        found = [one for one in self.releases.values() if (one.name, one.arch) == (name, arch)]
        return max(found, key=lambda one: debian_key(one.version), default=None)


def image(*packages: Package, **planning: object) -> Content:
    status = "\n".join(
        f"Package: {one.name}\nArchitecture: {one.arch}\nVersion: {one.version}\n"
        "Installed-Size: 10\n"
        for one in packages
    )
    stated = Planning("deb", status, architectures=("amd64", "i386"))
    return Content(PLATFORM, packages=packages, planning=replace(stated, **planning))


def deb(name: str, version: str = "1", arch: str = "amd64", **facts: object) -> Package:
    return replace(Package("deb", name, version, arch), **facts)  # type: ignore[type-var]


def answering(*moves: Move, kept: tuple[str, ...] = ()) -> Solver:
    return lambda request: Transaction(moves, kept)


NO_WISH = Wishes()
OFFLINE = Wishes(method="offline")


def planned(
    content: Content, shelf: Shelf, solve: Solver, *hold: str, wishes: Wishes = NO_WISH
) -> Plan:
    return make_plan(content, "disk", shelf, replace(wishes, hold=hold), solve)


def newest_of(content: Content, shelf: Shelf) -> Solver:
    """A simple solver: all that is not held goes to its newest version, with what that needs."""

    def solve(request: Request) -> Transaction:
        held = {one.name for one in content.packages if one.hold} | set(request.holds)
        present = {(one.name, one.arch): one.version for one in content.packages}
        moves, kept = {}, []
        for one in content.packages:
            newest = shelf.find_newest(one.name, one.arch)
            if newest is None or debian_key(newest.version) <= debian_key(one.version):
                continue
            if one.name in held:
                kept.append(one.name)
                continue
            moves[one.name, one.arch] = Move(
                "upgrade", one.name, one.arch, one.version, newest.version
            )
        for name, arch in list(moves):
            release = shelf.find_release(name, moves[name, arch].becomes, arch)
            for other in release.needs if release else ():
                wanted = shelf.find_newest(other, arch)
                if wanted and (other, arch) not in {*present, *moves} and other not in held:
                    moves[other, arch] = Move("install", other, arch, "", wanted.version)
        return Transaction(tuple(moves.values()), tuple(kept))

    return solve


def test_a_plan_says_what_why_and_how_much() -> None:
    shelf = Shelf()
    shelf.put(
        "a", "2", security=True, suite="stable-security", needs=("virtual",), installed_kib=15
    )
    shelf.put("b", "1", provides=("virtual",), installed_kib=7)
    moves = (Move("install", "b", "amd64", "", "1"), Move("upgrade", "a", "amd64", "1", "2"))
    plan = planned(image(deb("a")), shelf, answering(*moves))
    first, second = plan.steps
    assert (first.name, first.was, first.becomes) == ("a", "1", "2")
    assert first.security and first.why == "security update from stable-security"
    assert second.why == "needed by a"
    assert plan.download_bytes == len("a 2 amd64") + len("b 1 amd64")
    assert plan.disk_bytes == (15 - 10 + 7) * 1024
    assert [(one.name, one.version, one.auto) for one in plan.expected] == [
        ("a", "2", False),
        ("b", "1", True),
    ]
    assert plan.expected[0].purl == "pkg:deb/debian/a@2?arch=amd64&distro=debian-12"
    assert plan.feeds == (FEED,)


def test_what_no_index_holds_is_no_plan() -> None:
    with pytest.raises(PlanError, match="no verified index"):
        planned(image(deb("a")), Shelf(), answering(Move("upgrade", "a", "amd64", "1", "2")))


def test_a_removal_takes_the_native_package_and_leaves_the_foreign_one() -> None:
    both = (deb("a"), deb("a", arch="i386"))
    plan = planned(image(*both), Shelf(), answering(Move("remove", "a", "", "1")))
    assert [(one.action, one.arch) for one in plan.steps] == [("remove", "amd64")]
    assert [one.arch for one in plan.expected] == ["i386"]
    plan = planned(image(*both), Shelf(), answering(Move("remove", "a", "i386", "1")))
    assert [one.arch for one in plan.expected] == ["amd64"]
    plan = planned(image(deb("a", arch="all")), Shelf(), answering(Move("remove", "a", "", "1")))
    assert plan.expected == ()


def test_other_families_of_packages_stay_in_the_list() -> None:
    wheel = Package("pypi", "a", "1")
    plan = planned(image(deb("a"), wheel), Shelf(), answering(Move("remove", "a", "", "1")))
    assert plan.expected == (wheel,)


def test_a_solver_that_insists_on_what_takes_the_booted_machine_is_refused() -> None:
    shelf = Shelf()
    shelf.put("dracut", "1")
    with pytest.raises(Unsolvable, match="dracut"):
        dracut = answering(Move("install", "dracut", "amd64", "", "1"))
        planned(image(deb("a")), shelf, dracut, wishes=OFFLINE)


def test_what_takes_the_booted_machine_is_asked_away() -> None:
    asked: list[Request] = []

    def solve(request: Request) -> Transaction:
        asked.append(request)
        move = Move("install", "dracut", "amd64", "", "1")
        return Transaction(() if "dracut" in request.forbidden else (move,), ("a",))

    plan = planned(image(deb("a")), Shelf(), solve, wishes=OFFLINE)
    assert len(asked) == 2 and plan.steps == () and plan.skipped[0].name == "a"


def test_what_pins_take_back_is_not_called_newer() -> None:
    shelf = Shelf()
    shelf.put("a", "1", suite="stable")
    content = image(deb("a", "2"))
    plan = planned(
        content, shelf, lambda _: Transaction((Move("upgrade", "a", "amd64", "2", "1"),))
    )
    (step,) = plan.steps
    assert step.why == "older: the image's settings prefer stable"


def test_a_kernel_is_planned_with_the_reason_why_offline_is_safe() -> None:
    shelf = Shelf()
    shelf.put("linux-image-amd64", "2", needs=("linux-image-6",))
    shelf.put("linux-image-6", "1")
    content = image(deb("linux-image-amd64"), deb("grub2-common"))
    plan = planned(content, shelf, newest_of(content, shelf))
    assert [(one.name, one.method) for one in plan.steps] == [
        ("linux-image-6", "offline"),
        ("linux-image-amd64", "offline"),
    ]
    assert "boot menu" in plan.steps[0].method_why and plan.skipped == ()


def test_a_kernel_beside_an_unknown_loader_is_left_out_with_the_reason() -> None:
    shelf = Shelf()
    shelf.put("linux-image-amd64", "2")
    content = image(deb("linux-image-amd64"), deb("grub2-common"), deb("systemd-boot"))
    plan = planned(content, shelf, newest_of(content, shelf), wishes=OFFLINE)
    assert plan.steps == () and plan.carrier == "record"
    assert "booted machine" in plan.skipped[0].why and "systemd-boot" in plan.skipped[0].why


def kernel_beside(*names: str) -> tuple[Content, Shelf]:
    shelf = Shelf()
    for name in ("linux-image-amd64", "a"):
        shelf.put(name, "2")
    return image(deb("linux-image-amd64"), deb("a"), *(deb(name) for name in names)), shelf


def test_what_takes_the_booted_machine_takes_the_whole_change_with_it() -> None:
    content, shelf = kernel_beside("grub2-common", "systemd-boot")
    plan = planned(content, shelf, newest_of(content, shelf))
    assert plan.carrier == "boot" and plan.carrier_why.startswith("linux-image-amd64 takes")
    assert {one.method for one in plan.steps} == {"boot"} and len(plan.steps) == 2
    reasons = {one.name: one.method_why for one in plan.steps}
    assert reasons["a"] == plan.carrier_why and "systemd-boot" in reasons["linux-image-amd64"]


def test_the_carrier_is_that_which_was_asked_for() -> None:
    content, shelf = kernel_beside("grub2-common")
    solve = newest_of(content, shelf)
    asked = (
        NO_WISH,
        OFFLINE,
        Wishes(method="boot"),
        Wishes(carrier="record"),
        Wishes(carrier="boot"),
        Wishes(carrier="uml"),
    )
    plans = [planned(content, shelf, solve, wishes=one) for one in asked]
    assert [one.carrier for one in plans] == ["record", "record", "boot", "record", "boot", "uml"]
    assert plans[5].id not in {one.id for one in plans[:5]}
    assert plans[0].id == plans[1].id == plans[3].id != plans[2].id == plans[4].id


def test_a_carrier_that_is_not_built_is_refused_and_no_other_taken() -> None:
    content, shelf = kernel_beside("grub2-common")
    with pytest.raises(UnsupportedCarrier, match="carrier vm"):
        planned(content, shelf, newest_of(content, shelf), wishes=Wishes(carrier="vm"))


def test_a_kernel_of_its_own_leaves_out_what_takes_the_booted_machine() -> None:
    content, shelf = kernel_beside("grub2-common", "systemd-boot")
    solve = newest_of(content, shelf)
    plan = planned(content, shelf, solve, wishes=Wishes(carrier="uml"))
    assert plan.carrier == "uml" and {one.method for one in plan.steps} == {"offline"}
    assert [one.name for one in plan.steps] == ["a"]


def test_where_the_policy_allows_no_booting_the_change_is_made_offline() -> None:
    content, shelf = kernel_beside("grub2-common", "systemd-boot")
    solve, policy = newest_of(content, shelf), Policy(methods=("offline",))
    plan = make_plan(content, "disk", shelf, NO_WISH, solve, policy)
    assert plan.carrier == "record" and "policy" in plan.carrier_why
    assert [one.name for one in plan.steps] == ["a"]


def test_what_is_left_out_is_told_with_its_version() -> None:
    shelf = Shelf()
    for name in ("held", "asked", "linux-image-amd64", "kept"):
        shelf.put(name, "2")
    content = image(deb("held", hold=True), deb("asked"), deb("linux-image-amd64"), deb("kept"))
    plan = planned(content, shelf, answering(kept=("kept",)), "asked", wishes=OFFLINE)
    assert [(one.name, one.available) for one in plan.skipped] == [
        (name, "2") for name in ("asked", "held", "kept", "linux-image-amd64")
    ]
    assert len({one.why for one in plan.skipped}) == 4


def test_the_verdict_of_a_plan() -> None:
    shelf = Shelf()
    shelf.put("a", "2")
    content = image(deb("a"))
    todo = planned(content, shelf, answering(Move("upgrade", "a", "amd64", "1", "2")))
    done = planned(content, shelf, answering())
    held = planned(content, shelf, answering(), "a")
    claimed = make_plan(content, "descriptor", shelf, Wishes(), answering())
    assert [verdict(one, False) for one in (todo, done, held, claimed)] == [10, 0, 11, 11]
    assert [verdict(one, True) for one in (todo, done, held)] == [3, 3, 3]


# --- properties

VERSIONS = st.sampled_from(["1", "1.0-1", "1:0.5", "2~rc1", "2", "2-1+b1", "10"])
ARCHES = st.sampled_from(["amd64", "i386", "all"])
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "linux-image-amd64"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Content, Shelf]:
    shelf = Shelf()
    for name, version, arch in draw(st.sets(st.tuples(NAMES, VERSIONS, ARCHES), max_size=12)):
        needs = tuple(draw(st.lists(NAMES, max_size=2, unique=True)))
        shelf.put(name, version, arch, needs=needs, security=draw(st.booleans()))
    rows = draw(st.dictionaries(NAMES, st.tuples(VERSIONS, ARCHES, st.booleans()), max_size=5))
    packages = [
        deb(name, version, arch, hold=hold) for name, (version, arch, hold) in sorted(rows.items())
    ]
    return image(*packages), shelf


@given(worlds())
def test_planning_the_expected_content_is_empty(world: tuple[Content, Shelf]) -> None:
    content, shelf = world
    plan = planned(content, shelf, newest_of(content, shelf))
    after = image(*plan.expected)
    again = planned(after, shelf, newest_of(after, shelf))
    assert again.steps == ()
    assert again.expected == plan.expected


@given(worlds())
def test_the_same_question_gives_the_same_plan(world: tuple[Content, Shelf]) -> None:
    content, shelf = world
    one, two = (planned(content, shelf, newest_of(content, shelf)) for _ in range(2))
    assert one == two
    backwards = lambda request: replace(  # noqa: E731 - a solver in one line
        (found := newest_of(content, shelf)(request)), moves=found.moves[::-1]
    )
    assert planned(content, shelf, backwards) == one


@given(worlds())
def test_an_unrelated_package_in_the_feed_changes_nothing(world: tuple[Content, Shelf]) -> None:
    content, shelf = world
    one = planned(content, shelf, newest_of(content, shelf))
    shelf.put("unrelated", "9")
    assert planned(content, shelf, newest_of(content, shelf)) == one


@given(worlds())
def test_each_step_is_in_what_is_expected(world: tuple[Content, Shelf]) -> None:
    content, shelf = world
    plan = planned(content, shelf, newest_of(content, shelf))
    after = {(one.name, one.arch): one.version for one in plan.expected}
    for step in plan.steps:
        assert after[step.name, step.arch] == step.becomes
    moved = {step.name for step in plan.steps}
    for one in content.packages:
        if one.name not in moved:
            assert one in plan.expected


def test_the_identity_is_of_what_decides() -> None:
    shelf = Shelf()
    shelf.put("a", "2")
    move = answering(Move("upgrade", "a", "amd64", "1", "2"))
    plan = planned(image(deb("a")), shelf, move)
    other = Shelf(shelf.releases, (replace(FEED, digest=sha256_of(b"other")),))
    ids = {
        plan.id,
        planned(image(deb("a")), other, move).id,
        planned(image(deb("a"), deb("b")), shelf, move).id,
        planned(image(deb("a")), shelf, move, "a").id,
        make_plan(image(deb("a")), "disk", shelf, Wishes("full"), move).id,
        planned(image(deb("a")), shelf, answering()).id,
    }
    assert len(ids) == 6
    assert make_plan(image(deb("a")), "descriptor", shelf, Wishes(), move).id == plan.id
