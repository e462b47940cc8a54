"""Turns of a group over a real catalogue and the folder driver: also interrupted, refused, held."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.agent.rotating.backing import name_of
from regild.agent.rotating.groups import apply_group, group_of, keep_rotation, rotation_of, scale
from regild.agent.rotating.rotation import Disk, Means, Turn, take_turn
from regild.errors import Busy, DriverFailed, GroupRefused, NotListed
from regild.model.digest import sha256_of
from regild.model.generation import Reference, StoredFile
from regild.model.rotation import Group, Seen, StartOrder
from regild.rotate.driver import Driver
from regild.rotate.folder import FolderDriver
from regild.store import Catalogue, open_catalogue
from regild.store.channels import promote
from regild.store.events import list_events
from regild.store.generations import NewGeneration, add_generation, list_generations
from regild.store.groups import remove_window
from regild.store.images import add_image
from regild.store.instances import list_approvals, list_instances
from regild.store.leases import take_lease
from regild.store.revocation import revoke

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FILE = """\
[group]
name = "web"
image = "web"
channel = "production"
driver = "folder"
size = 3
[rollout]
{rollout}
[health]
kind = "boot"
within = "5m"
"""


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Flaky:
    """The folder driver, with a platform that may refuse or see the agent die."""

    driver: FolderDriver
    world: "World"

    def look(self) -> tuple[Seen, ...]:
        return self.driver.look()

    def start(self, order: StartOrder) -> None:
        self.world.at("before start")
        self.driver.start(order)
        bad = order.generation in self.world.bad
        status = {"healthy": not bad}
        self.world.instances.joinpath(f"{order.name}.status").write_text(json.dumps(status))
        self.world.started.append((order.name, order.generation))
        self.world.at("after start")

    def drain(self, name: str) -> None:
        self.world.at("drain")
        self.driver.drain(name)

    def stop(self, name: str) -> None:
        self.world.at("before stop")
        self.driver.stop(name)
        self.world.at("after stop")


@dataclass
class World:
    """A catalogue, a folder, and time."""

    catalogue: Catalogue
    folder: Path
    now: datetime = NOW
    bad: set[int] = field(default_factory=set)
    started: list[tuple[str, int]] = field(default_factory=list)
    dies: str = ""
    refuses: str = ""

    @property
    def instances(self) -> Path:
        return self.folder / "instances"

    def at(self, moment: str) -> None:
        if self.dies == moment:
            self.dies = ""
            raise Killed
        if self.refuses and moment.endswith(self.refuses):
            raise DriverFailed(where="the platform", why="it is away")

    @contextlib.contextmanager
    def driver_of(self, group: Group) -> Iterator[Driver]:
        yield Flaky(FolderDriver(group, self.folder), self)

    def means(self, owner: str = "agent-1") -> Means:
        return Means(
            self.catalogue,
            "tests",
            owner,
            self.driver_of,
            lambda image, number: Disk(f"/srv/{image}-{number}", "qcow2", "sha256:00"),
            lambda: self.now,
        )

    def turn(self) -> Turn:
        self.now += timedelta(minutes=1)
        return take_turn(self.means(), "web")

    def turns(self, count: int = 14) -> Turn:
        return [self.turn() for _ in range(count)][-1]

    def publish(self, number: int) -> None:
        with self.catalogue.writing("tests", self.now) as change:
            file = StoredFile("web.qcow2", sha256_of(str(number).encode()), 10)
            made = add_generation(change, NewGeneration("web", "disk", (file,)))
            assert made.number == number
            promote(change, Reference("web", str(number)), "production")

    def running(self) -> list[int]:
        known = [json.loads(path.read_text()) for path in self.instances.glob("*.json")]
        return sorted(one["order"]["generation"] for one in known)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_catalogue(tmp_path / "catalogue") as catalogue:
        made = World(catalogue, tmp_path)
        with catalogue.writing("tests", NOW) as change:
            add_image(change, "web")
        made.publish(1)
        apply(made)
        yield made


def apply(world: World, rollout: str = "", more: str = "") -> None:
    path = world.folder / "web.toml"
    path.write_text(FILE.format(rollout=rollout) + more)
    with world.catalogue.writing("tests", world.now) as change:
        apply_group(change, path, world.folder)


def test_a_group_is_filled_and_then_left_alone(world: World) -> None:
    turn = world.turns()
    assert world.running() == [1, 1, 1]
    assert turn.rotation.current == 1
    assert turn.done == []
    with world.catalogue.reading() as view:
        rows = list_instances(view, "web")
        assert {row.current for row in rows} == {"web@1"}
        assert {row.state for row in rows} == {"ready"}


def test_a_new_generation_comes_in_and_every_step_is_an_event(world: World) -> None:
    world.turns()
    world.publish(2)
    world.turns()
    assert world.running() == [2, 2, 2]
    with world.catalogue.reading() as view:
        kinds = [one.kind for one in list_events(view, subject="web")]
    told = [kind for kind in kinds if kind.startswith("rotate.")]
    assert {"rotate.aim", "rotate.open-wave", "rotate.start", "rotate.drain", "rotate.stop"} <= {
        *told
    }
    assert told[-1] == "rotate.settle"


def test_names_are_never_used_twice(world: World) -> None:
    world.turns()
    world.publish(2)
    world.turns()
    names = [name for name, _ in world.started]
    assert len(names) == len(set(names)) == 6


def test_a_bad_generation_is_rolled_back_and_stays_away(world: World) -> None:
    world.turns()
    world.bad.add(2)
    world.publish(2)
    turn = world.turns()
    assert world.running() == [1, 1, 1]
    assert [number for _, number in world.started].count(2) == 1
    assert turn.rotation.refused == (2,)
    assert "given up here" in turn.waits[0]


@pytest.mark.parametrize("moment", ["before start", "after start", "drain", "before stop"])
def test_killed_at_any_moment_the_next_turn_goes_on(world: World, moment: str) -> None:
    world.turns()
    world.publish(2)
    world.dies = moment
    with pytest.raises(Killed):
        world.turns()
    world.turns()
    assert world.running() == [2, 2, 2]
    names = [name for name, _ in world.started]
    assert len(set(names)) == 6, "nothing was made under two names"
    with world.catalogue.reading() as view:
        assert len(list_instances(view, "web")) == 3


def test_killed_after_a_stop_no_failure_is_counted_twice(world: World) -> None:
    apply(world, "max_failed = 1\ncanary = 2\nrollback = false")
    world.turns()
    world.bad.add(2)
    world.publish(2)
    world.dies = "after stop"
    with pytest.raises(Killed):
        world.turns()
    with world.catalogue.reading() as view:
        assert rotation_of(view, "web").failures <= 1


def test_a_platform_that_is_away_is_tried_again_and_is_not_the_images_fault(world: World) -> None:
    world.turns()
    world.publish(2)
    world.refuses = "start"
    turn = world.turns(3)
    assert "it is away" in str(turn.failures[0])
    world.refuses = ""
    world.turns()
    assert world.running() == [2, 2, 2]


def test_two_agents_do_not_turn_the_same_group(world: World) -> None:
    with world.catalogue.writing("other", world.now) as change:
        assert take_lease(change, "group/web", "agent-2", 600)
    with pytest.raises(Busy, match="another agent"):
        world.turn()
    world.now += timedelta(seconds=700)
    assert world.turn().done, "its lease has ended"


def test_a_revoked_generation_is_never_started(world: World) -> None:
    world.turns()
    world.publish(2)
    with world.catalogue.writing("tests", world.now) as change:
        revoke(change, Reference("web", "2"), world.now, "CVE-2026-0001")
    turn = world.turns()
    assert world.running() == [1, 1, 1]
    assert "revoked" in " ".join(turn.waits)


def test_people_are_asked_before_the_second_wave(world: World) -> None:
    apply(world, 'approval = "canary"')
    world.turns()
    world.publish(2)
    turn = world.turns()
    assert "waits for approval" in turn.waits[0]
    with world.catalogue.writing("anna", world.now) as change:
        (asked,) = list_approvals(change)
        assert asked.subject == "web: wave 2 of web@2"
        keep_rotation(change, "web", replace(rotation_of(change, "web"), approved=2))
    world.turns()
    assert world.running() == [2, 2, 2]


def test_an_instance_that_vanishes_is_made_again(world: World) -> None:
    world.turns()
    FolderDriver(Group("web", "web", "p", "folder", 3), world.folder).stop("web-1")
    world.turns(3)
    assert world.running() == [1, 1, 1]


def test_scaling_beats_the_file(world: World) -> None:
    world.turns()
    with world.catalogue.writing("tests", world.now) as change:
        scale(change, "web", 5)
        with pytest.raises(GroupRefused, match="1 instances"):
            apply_and_scale(world, change)
    world.turns()
    assert world.running() == [1] * 5


def apply_and_scale(world: World, change: object) -> None:
    from regild.agent.rotating import groups

    path = world.folder / "tight.toml"
    path.write_text(FILE.format(rollout='max_surge = 0\nmax_unavailable = "50%"'))
    groups.apply_group(change, path, world.folder)  # type: ignore[arg-type] - a Writing
    scale(change, "web", 1)  # type: ignore[arg-type] - a Writing


def calendar_of(day: int) -> str:
    """A day in June."""
    event = f"UID:1\nDTSTART:202606{day:02}T000000Z\nDTEND:202606{day + 1:02}T000000Z\nEND:VEVENT"
    told = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\n{event}\nEND:VCALENDAR\n"
    return told.replace("\n", "\r\n")


def test_calendars_that_would_take_each_others_place_are_refused(world: World) -> None:
    for folder, day in (("windows", 1), ("freezes", 9)):
        (world.folder / folder).mkdir()
        (world.folder / folder / "shop.ics").write_text(calendar_of(day))
    told = '[calendar]\nwindows = "windows/shop.ics"\nfreezes = "freezes/shop.ics"\n'
    with pytest.raises(GroupRefused, match="two names"):
        apply(world, more=told)


def test_a_group_whose_windows_are_lost_is_not_open_at_any_time(world: World) -> None:
    (world.folder / "night.ics").write_text(calendar_of(1))
    apply(world, more='[calendar]\nwindows = "night.ics"\n')
    with world.catalogue.writing("tests", world.now) as change:
        remove_window(change, "web.night")
        with pytest.raises(NotListed, match=r"web\.night"):
            group_of(change, "web")


def test_a_groups_own_calendar_is_no_freeze_of_the_site(world: World) -> None:
    from regild.agent.keeping.storing import Store
    from regild.agent.rotating.rotating import remove_freeze
    from regild.host.shelf import open_shelf

    (world.folder / "night.ics").write_text(calendar_of(1))
    apply(world, more='[calendar]\nwindows = "night.ics"\n')
    store = Store(world.catalogue, open_shelf(world.folder / "blobs"), "tests")
    with pytest.raises(NotListed, match="its file says it"):
        remove_freeze(store, "web.night")
    with world.catalogue.reading() as view:
        assert group_of(view, "web").windows


def test_windows_come_from_the_files_beside(world: World) -> None:
    (world.folder / "night.ics").write_text(calendar_of(1))
    apply(world, more='[calendar]\nwindows = "night.ics"\n')
    world.turns()
    world.publish(2)
    turn = world.turns()
    assert world.running() == [1, 1, 1]
    assert "2026-06-01" in turn.waits[0]
    world.now = datetime(2026, 6, 1, tzinfo=UTC)
    world.turns()
    assert world.running() == [2, 2, 2]


def test_files_that_name_what_is_not_there(world: World) -> None:
    for wrong, error in (
        (FILE.replace('"production"', '"nowhere"'), NotListed),
        (FILE.replace('image = "web"', 'image = "other"'), NotListed),
        (FILE.replace('"folder"', '"punch-cards"'), GroupRefused),
    ):
        path = world.folder / "wrong.toml"
        path.write_text(wrong.format(rollout=""))
        with world.catalogue.writing("tests", world.now) as change, pytest.raises(error):
            apply_group(change, path, world.folder)


def test_backing_disks_of_what_is_just_being_ended_are_kept(world: World) -> None:
    from regild.agent.keeping.storing import Store
    from regild.agent.rotating.rotating import Floor, tidy
    from regild.host.shelf import open_shelf
    from regild.model.progress import Silent

    world.turns()
    world.publish(2)
    world.dies = "before stop"
    with pytest.raises(Killed):
        world.turns()
    store = Store(world.catalogue, open_shelf(world.folder / "blobs"), "tests")
    (world.folder / "backing").mkdir()
    with world.catalogue.reading() as view:
        held = [name_of(one) for one in list_generations(view, "web")]
    for name in (*held, "web-9-0000.raw"):
        (world.folder / "backing" / name).touch()
    assert tidy(Floor(store, world.folder, Silent())) == ["web-9-0000.raw"]
