"""A publisher that is killed between any two system calls: catalogue and blobs agree, and whoever
publishes next ends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text, update

from regild.model.generation import Generation, Reference, StoredFile
from regild.model.progress import Silent
from regild.store import Catalogue, Writing, open_catalogue
from regild.store.channels import find_channel, promote
from regild.store.check import check_store, unknown_files
from regild.store.collect import collect
from regild.store.deposit import Offer, deposit
from regild.store.events import list_events
from regild.store.generations import NewGeneration, add_generation, list_generations
from regild.store.images import add_image
from regild.store.schema import leases, packs
from tests.image.disks import noise
from tests.store.depots import PACK, Depot
from tests.store.samples import content_of
from tests.store.traced import run_traced

OLD = noise(500 << 10)
NEW = OLD[: 250 << 10] + noise(450 << 10, seed=2)
HELD = content_of(*((f"package-{number}", "1.0") for number in range(30)))


def opened(folder: Path) -> Catalogue:
    return open_catalogue(folder / "catalogue.sqlite")


def publish(folder: Path, content: bytes, image: str = "web") -> None:
    """Publish as `regild publish --channel dev` does, in packs that are small."""
    path = folder / f"{image}.offer"
    path.write_bytes(content)

    def settle(change: Writing, stored: tuple[StoredFile, ...]) -> Generation:
        made = add_generation(change, NewGeneration(image, "disk", stored, None, HELD))
        promote(change, Reference(image, str(made.number)), "dev")
        return made

    with opened(folder) as catalogue:
        depot = Depot(catalogue, folder)
        offers = [Offer("disk.raw", path)]
        deposit(catalogue, depot.shelf, offers, "tests", Silent(), settle, pack_bytes=PACK)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A store with one generation."""
    folder = tmp_path / "begun"
    folder.mkdir()
    with opened(folder) as catalogue, catalogue.writing("tests") as change:
        for name in ("web", "other"):
            add_image(change, name)
    publish(folder, OLD)
    return folder


def agrees(folder: Path) -> int:
    """Look at all of a store; the generations that it has of web."""
    with opened(folder) as catalogue:
        depot = Depot(catalogue, folder)
        with catalogue.reading() as view:
            ((told,),) = view.connection.execute(text("PRAGMA integrity_check"))
            line = list_generations(view, "web")
            at = find_channel(view, "web", "dev").number
            events = [one.subject for one in list_events(view, kind="generation.add")]
        assert told == "ok"
        assert check_store(catalogue, depot.shelf, Silent()) == ()
        assert [one.number for one in line] == list(range(1, len(line) + 1))
        assert at == len(line), "the generation is there and the channel moved, or neither"
        assert [name for name in events if name.startswith("web@")] == [one.name for one in line]
        for one, content in zip(line, (OLD, NEW), strict=False):
            assert depot.content(one) == content
        return len(line)


def ends_well(folder: Path, before: int) -> None:
    """Who comes next publishes what is missing, and the collection leaves nothing behind."""
    if before == 1:
        publish(folder, NEW)
    assert agrees(folder) == 2
    with opened(folder) as catalogue:
        depot = Depot(catalogue, folder)
        with catalogue.writing("tests") as change:
            change.connection.execute(update(leases).values(until=change.now))
        collect(catalogue, depot.shelf, "tests")
        assert unknown_files(catalogue, depot.shelf) == ()
        with catalogue.reading() as view:
            rows = view.connection.execute(packs.select()).all()
        assert {row.state for row in rows} == {"live"}
        on_disk = [path for path in (folder / "shelf").rglob("*") if path.is_file()]
        assert len(on_disk) == len(rows), "no hidden file is left"
    assert agrees(folder) == 2


def killed_everywhere(
    begun: Path, work: Callable[[Path], object], points: slice, beside: bool = False
) -> tuple[int, set[int]]:
    """Kill a publisher before each of some changes; how many there were, and what was seen."""
    whole = begun.with_name("whole")
    shutil.copytree(begun, whole)
    changes = run_traced(lambda: work(whole))
    assert agrees(whole) == 2
    assert {"linkat", "fsync", "pwrite64"} <= set(changes), changes
    seen = set()
    for last in range(len(changes) + 1)[points]:
        place = begun.with_name("killed")
        shutil.copytree(begun, place)
        other = _other(place) if beside else 0
        run_traced(lambda place=place: work(place), last)  # type: ignore[misc] # bound at once
        if other:
            assert os.waitpid(other, 0)[1] == 0
        found = agrees(place)
        seen.add(found)
        ends_well(place, found)
        shutil.rmtree(place)
    return len(changes), seen


def _other(place: Path) -> int:
    """Another publisher, which is alive meanwhile and shares pieces; its process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            publish(place, NEW[200 << 10 :], "other")
            code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.slow
def test_a_publisher_may_be_killed_at_some_of_its_system_calls(begun: Path) -> None:
    count, seen = killed_everywhere(begun, lambda place: publish(place, NEW), slice(3, None, 24))
    assert count > 40
    assert seen == {1, 2}


@pytest.mark.slow
def test_who_publishes_meanwhile_is_not_hurt(begun: Path) -> None:
    _, seen = killed_everywhere(
        begun, lambda place: publish(place, NEW), slice(5, None, 60), beside=True
    )
    assert seen <= {1, 2}


@pytest.mark.nightly
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
def test_a_publisher_may_be_killed_between_any_two_system_calls(
    begun: Path, beside: bool, record_property: Callable[[str, object], None]
) -> None:
    count, seen = killed_everywhere(
        begun, lambda place: publish(place, NEW), slice(None), beside=beside
    )
    record_property("places to be killed at", count + 1)
    assert seen == {1, 2}
