"""What the site and the image's maker allow, and whether there is room: each its own refusal."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from regild.errors import (
    DiskTooSmall,
    MethodRefused,
    NewPackageRefused,
    PlanError,
    PlanTooLarge,
    RemovalRefused,
)
from regild.model.content import Content, Platform, VolumeSpace
from regild.model.digest import sha256_of
from regild.model.plan import Action, Plan, Step
from regild.plan.permit import check_plan, check_room, rooms
from regild.plan.wishes import Policy


def step(action: Action, name: str) -> Step:
    return Step(action, name, "amd64", was="1" if action != "install" else "")


STEPS = (step("upgrade", "a"), step("install", "new"), step("remove", "old"))
PLAN = Plan(
    sha256_of(b"1"), sha256_of(b"2"), "disk", "full", STEPS, download_bytes=100, disk_bytes=50
)


@pytest.mark.parametrize(
    ("policy", "refusal"),
    [
        (Policy(keep=("o*",)), RemovalRefused),
        (Policy(new=("other",)), NewPackageRefused),
        (Policy(new=()), NewPackageRefused),
        (Policy(methods=("boot",)), MethodRefused),
        (Policy(download_limit=99), PlanTooLarge),
        (Policy(growth_limit=49), PlanTooLarge),
    ],
)
def test_each_violation_is_an_error_of_its_own(policy: Policy, refusal: type[PlanError]) -> None:
    with pytest.raises(refusal):
        check_plan(PLAN, policy)


def test_what_is_allowed_passes() -> None:
    allowed = Policy(keep=("a",), new=("n*",), download_limit=100, growth_limit=50)
    check_plan(PLAN, allowed)
    check_plan(PLAN, Policy())


def space(mount: str, blocks: int, inodes: int = 1000) -> VolumeSpace:
    return VolumeSpace(mount, f"UUID={mount}", "ext4", 4096, 10_000, blocks, 10, inodes)


def image(*volumes: VolumeSpace) -> Content:
    return Content(Platform("linux"), volumes=volumes)


def test_room_is_counted_for_each_volume() -> None:
    kernel = step("install", "linux-image-6.1.0-40-amd64")
    sizes = {STEPS[0]: 4096 * 100, kernel: 4096 * 50}
    content = image(space("/", 1000), space("/boot", 30_000), space("/var", 5))
    found = {room.mount: room for room in rooms(content, (STEPS[0], kernel), sizes)}
    assert sorted(found) == ["/", "/boot"]
    assert found["/"].needed_bytes == 4096 * (100 + 50 + 100)
    assert found["/"].free_bytes == 990 * 4096
    assert found["/boot"].needed_bytes > 0
    check_room(found.values())


def test_a_plan_that_does_not_fit_names_the_volume() -> None:
    sizes = {STEPS[0]: 4096 * 600}
    with pytest.raises(DiskTooSmall, match=r"/usr is too small.*bytes are needed"):
        check_room(rooms(image(space("/", 9000), space("/usr", 1000)), STEPS, sizes))
    sizes = {STEPS[1]: 4096 * 1024}
    with pytest.raises(DiskTooSmall, match="inodes"):
        check_room(rooms(image(space("/", 9000, inodes=5)), STEPS, sizes))
    with pytest.raises(DiskTooSmall, match="inodes"):
        check_room(rooms(image(space("/", 9000, inodes=0)), STEPS, sizes))


def test_where_no_room_is_known_nothing_is_claimed() -> None:
    assert rooms(image(), STEPS, {}) == ()


def test_limits_are_never_negative() -> None:
    assert replace(Policy(), growth_limit=0).growth_limit == 0
