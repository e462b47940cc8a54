from __future__ import annotations

import hashlib
import multiprocessing
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from regild.errors import (
    DigestMismatch,
    IntegrityError,
    LeaseLost,
    Malformed,
    MissingFile,
    NotListed,
)
from regild.host.shelf import FolderShelf
from regild.model.generation import Reference, Retention
from regild.model.group import KnownInstance
from regild.model.progress import Silent
from regild.store import Catalogue, open_catalogue
from regild.store.channels import promote
from regild.store.check import check_store, unknown_files
from regild.store.collect import collect
from regild.store.deposit import Offer, deposit
from regild.store.generations import list_generations, pin_generation
from regild.store.groups import save_group
from regild.store.images import add_image
from regild.store.instances import save_instance
from regild.store.map import cut
from regild.store.pack import PACK_BYTES, PIECE_BYTES, PackWriter, unpacked
from regild.store.schema import leases, packs
from regild.store.withdraw import export_file
from tests.store.depots import Depot

GRAIN = PIECE_BYTES


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def depot(catalogue: Catalogue, tmp_path: Path) -> Depot:
    with catalogue.writing("tests") as change:
        add_image(change, "web", retention=Retention(newest=1))
    return Depot(catalogue, tmp_path / "depot")


def test_a_file_comes_back_with_every_byte(depot: Depot) -> None:
    for size in (0, 1, GRAIN, GRAIN + 1, 9 * GRAIN + 17):
        content = noise(size, size)
        assert depot.content(depot.publish("web", content)) == content
    assert check_store(depot.catalogue, depot.shelf, Silent()) == ()


def test_the_map_of_a_very_large_file_can_be_read_again() -> None:
    content = noise(1, 64) * ((PACK_BYTES >> 6) + 1)
    writer = PackWriter()
    writer.add(hashlib.sha256(content).digest(), content)
    (kept,) = (pack := writer.close()).kept
    assert kept.method == "zstd"
    stored = pack.content[kept.offset : kept.offset + kept.stored]
    assert unpacked(stored, kept, pack.name) == content


def test_versions_share_what_is_equal(depot: Depot) -> None:
    first = noise(1, 20 * GRAIN)
    depot.publish("web", first)
    before = depot.bytes()
    second = first[: 5 * GRAIN] + noise(2, GRAIN) + first[6 * GRAIN :]
    made = depot.publish("web", second)
    assert depot.content(made) == second
    assert depot.bytes() - before < 1.1 * GRAIN


def test_zeros_are_kept_once_and_packed(depot: Depot) -> None:
    depot.publish("web", bytes(100 * GRAIN))
    assert depot.bytes() < 2000


def test_what_moved_is_shared_when_there_is_a_seam_before_it(depot: Depot) -> None:
    grains = [noise(seed, 5000 + seed) for seed in range(30)]
    depot.publish("web", b"".join(grains), seams=seams_of(grains))
    before = depot.bytes()
    grains[3] = noise(99, 6000)
    depot.publish("web", b"".join(grains), seams=seams_of(grains))
    assert depot.bytes() - before < 9000


def seams_of(grains: list[bytes]) -> list[int]:
    at, seams = 0, []
    for grain in grains:
        seams.append(at)
        at += len(grain)
    return seams


@given(
    content=st.binary(max_size=200),
    seams=st.lists(st.integers(-5, 250), max_size=20),
    size=st.integers(1, 50),
)
def test_cutting_loses_nothing_and_cuts_at_every_seam(
    content: bytes, seams: list[int], size: int
) -> None:
    import io

    found = list(cut(io.BytesIO(content), seams, size))
    assert b"".join(found) == content
    assert all(0 < len(one) <= size for one in found)
    at, cuts = 0, set()
    for one in found:
        cuts.add(at)
        at += len(one)
    assert {one for one in seams if 0 < one < len(content)} <= cuts


def pack_paths(depot: Depot) -> list[Path]:
    return [depot.folder / "shelf" / name for name in depot.files()]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "its bytes were changed"),
        (shorten, "bytes"),
        (Path.unlink, "it is missing"),
    ],
)
def test_damage_is_found_and_named_with_what_it_hurts(
    depot: Depot, damage: object, said: str
) -> None:
    depot.publish("web", noise(1, 3 * GRAIN))
    depot.publish("web", noise(2, 3 * GRAIN))
    hurt_pack = pack_paths(depot)[0]
    damage(hurt_pack)  # type: ignore[operator] # one of three functions of a path
    found = check_store(depot.catalogue, depot.shelf, Silent())
    assert hurt_pack.name in found[0].where
    assert said in found[0].why
    hurt = {name for one in found for name in one.generations}
    assert len(hurt) == 1
    with depot.catalogue.reading() as view:
        line = {one.name: one for one in list_generations(view, "web")}
    with pytest.raises((IntegrityError, DigestMismatch, MissingFile)) as caught:
        depot.content(line[next(iter(hurt))])
    assert hurt_pack.name in str(caught.value)
    assert depot.content(line["web@1" if "web@2" in hurt else "web@2"])


def test_quick_looks_at_lengths_alone(depot: Depot) -> None:
    depot.publish("web", noise(1, GRAIN))
    flip(pack_paths(depot)[0])
    assert check_store(depot.catalogue, depot.shelf, Silent(), quick=True) == ()
    shorten(pack_paths(depot)[0])
    first = check_store(depot.catalogue, depot.shelf, Silent(), quick=True)[0]
    assert pack_paths(depot)[0].name in first.where


def test_a_pack_whose_list_cannot_be_read_is_named(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    depot.publish("web", noise(1, 3 * GRAIN))

    def torn(content: bytes, where: str) -> None:
        raise Malformed(where=where, why="its list cannot be read")

    monkeypatch.setattr("regild.store.check.read_list", torn)
    found = check_store(depot.catalogue, depot.shelf, Silent())
    assert {one.why for one in found} == {"its list cannot be read"}


def test_a_damaged_export_writes_nothing(depot: Depot, tmp_path: Path) -> None:
    made = depot.publish("web", noise(1, 5 * GRAIN))
    flip(pack_paths(depot)[-1])
    flip(pack_paths(depot)[0])
    with pytest.raises(IntegrityError):
        export_file(depot.catalogue, depot.shelf, made.files[0], tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_a_strangers_file_on_the_shelf_is_told_and_left_alone(depot: Depot) -> None:
    depot.publish("web", noise(1, 10))
    stranger = depot.folder / "shelf" / "packs" / "zz" / "stranger.pack"
    stranger.parent.mkdir()
    stranger.write_bytes(b"x")
    collect(depot.catalogue, depot.shelf, "tests")
    assert unknown_files(depot.catalogue, depot.shelf) == ("packs/zz/stranger.pack",)
    assert stranger.exists()


def test_collecting_gives_up_what_is_old_and_keeps_what_is_needed(depot: Depot) -> None:
    made = [depot.publish("web", noise(seed, 3 * GRAIN)) for seed in range(6)]
    with depot.catalogue.writing("tests") as change:
        pin_generation(change, Reference("web", "1"), True)
        promote(change, Reference("web", "2"), "production")
        promote(change, Reference("web", "4"), "production")
        save_group(change, "shop", "", "web", "production")
        save_instance(change, KnownInstance("shop", "a", "running", current="web@3"))
    before = depot.bytes()
    found = collect(depot.catalogue, depot.shelf, "tests")
    assert found.generations == ("web@5",)
    assert depot.bytes() == before - found.bytes
    for one in made:
        if one.number == 5:
            with pytest.raises(NotListed, match="no such bytes"):
                depot.content(one)
        else:
            assert depot.content(one) == noise(one.number - 1, 3 * GRAIN)
    assert check_store(depot.catalogue, depot.shelf, Silent()) == ()


def test_a_dead_publishers_packs_are_taken_over_or_collected(depot: Depot) -> None:
    content = noise(1, 9 * GRAIN)
    path = depot.folder / "offer"
    path.write_bytes(content)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deposit(
            *(depot.catalogue, depot.shelf, [Offer("a", path)], "tests", Silent(), die),
            pack_bytes=200 << 10,
        )
    left = set(depot.files())
    assert left
    made = depot.publish("web", content)
    assert set(depot.files()) == left
    assert depot.content(made) == content
    collect(depot.catalogue, depot.shelf, "tests")
    assert depot.content(made) == content


def test_a_living_publishers_packs_are_left_alone_and_a_late_one_is_refused(
    depot: Depot,
) -> None:
    path = depot.folder / "late"
    path.write_bytes(noise(7, 3 * GRAIN))

    def meanwhile(*_: object) -> None:
        raise AssertionError("it must not settle")

    class Slow(FolderShelf):
        def put(self, name: str, content: bytes) -> None:
            super().put(name, content)
            assert collect(depot.catalogue, depot.shelf, "other").packs == 0
            with depot.catalogue.writing("tests") as change:
                ended = update(leases).values(until=change.now)
                change.connection.execute(ended)
            assert collect(depot.catalogue, depot.shelf, "other").packs == 1

    slow = Slow(depot.folder / "shelf")
    with pytest.raises(LeaseLost):
        deposit(depot.catalogue, slow, [Offer("a", path)], "tests", Silent(), meanwhile)
    assert depot.files() == []


def test_what_was_shared_and_is_condemned_meanwhile_is_stored_anew(depot: Depot) -> None:
    content = noise(1, 2 * GRAIN)
    depot.publish("web", content)
    depot.publish("web", noise(2, 2 * GRAIN))
    first = True

    class Busy(FolderShelf):
        def put(self, name: str, content: bytes) -> None:
            nonlocal first
            if first:
                first = False
                assert collect(depot.catalogue, depot.shelf, "other").generations == ("web@1",)
            super().put(name, content)

    busy = Depot(depot.catalogue, depot.folder, Busy(depot.folder / "shelf"))
    made = busy.publish("web", content + b"more")
    assert depot.content(made) == content + b"more"
    collect(depot.catalogue, depot.shelf, "tests")
    assert check_store(depot.catalogue, depot.shelf, Silent()) == ()


def _publish(place: str, folder: str, worker: int) -> None:
    shared = noise(0, 6 * GRAIN)
    with open_catalogue(place) as catalogue:
        depot = Depot(catalogue, Path(folder))
        depot.folder = Path(folder) / str(worker)
        depot.folder.mkdir()
        for number in range(4):
            depot.publish("web", shared + noise(worker * 10 + number + 1, GRAIN))
            if worker == 2:
                collect(catalogue, depot.shelf, "collector")


def test_publishers_and_a_collector_at_once_are_safe(
    depot: Depot, place: str, catalogue: Catalogue
) -> None:
    spawn = multiprocessing.get_context("spawn")
    argv = [(place, str(depot.folder), one) for one in range(3)]
    workers = [spawn.Process(target=_publish, args=one) for one in argv]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert check_store(catalogue, depot.shelf, Silent()) == ()
    with catalogue.reading() as view:
        line = list_generations(view, "web")
    assert [one.number for one in line] == list(range(1, 13))
    for one in line:
        if one.expired is None:
            assert depot.content(one).startswith(noise(0, 6 * GRAIN))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sets(st.integers(0, 6), min_size=1, max_size=4)),
        st.tuples(st.just("pin"), st.integers(1, 8)),
        st.tuples(st.just("unpin"), st.integers(1, 8)),
        st.tuples(st.just("promote"), st.integers(1, 8)),
        st.tuples(st.just("run"), st.integers(1, 8)),
        st.tuples(st.just("die"), st.integers(0, 6)),
        st.tuples(st.just("collect"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS, newest=st.integers(1, 3))
def test_collecting_never_removes_what_is_reachable(
    steps: list[tuple[str, object]], newest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("gc")
    with open_catalogue(folder / "c.sqlite") as catalogue:
        depot, wanted = Depot(catalogue, folder / "depot"), dict[int, bytes]()
        with catalogue.writing("tests") as change:
            add_image(change, "web", retention=Retention(newest=newest))
            save_group(change, "shop", "", "web", "dev")
        for step, value in steps:
            _do(depot, step, value, wanted)
            with catalogue.reading() as view:
                line = list_generations(view, "web")
            for one in line:
                if one.expired is None:
                    assert depot.content(one) == wanted[one.number]
            assert len([one for one in line if one.expired is None]) >= min(newest, len(line))
        assert check_store(catalogue, depot.shelf, Silent()) == ()
        with catalogue.writing("tests") as change:
            change.connection.execute(update(leases).values(until=change.now))
        collect(catalogue, depot.shelf, "tests")
        with catalogue.reading() as view:
            assert (
                view.connection.execute(packs.select().where(packs.c.state != "live")).all() == []
            )


def _do(depot: Depot, step: str, value: object, wanted: dict[int, bytes]) -> None:
    if step == "publish":
        assert isinstance(value, set)
        content = b"".join(noise(one, 70 << 10) for one in sorted(value))
        wanted[depot.publish("web", content).number] = content
    elif step == "die":
        assert isinstance(value, int)
        _die(depot, noise(value, 300 << 10))
    elif step == "collect":
        collect(depot.catalogue, depot.shelf, "tests")
    else:
        with depot.catalogue.writing("tests") as change:
            line = {one.number: one for one in list_generations(change, "web")}
            one = line.get(value) if isinstance(value, int) else None
            if one is None or one.expired is not None:
                return
            if step == "promote":
                promote(change, Reference("web", str(value)), "dev")
            elif step == "run":
                save_instance(change, KnownInstance("shop", "a", "running", current=one.name))
            else:
                pin_generation(change, Reference("web", str(value)), step == "pin")


def _die(depot: Depot, content: bytes) -> None:
    path = depot.folder / "dying"
    path.write_bytes(content)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deposit(
            *(depot.catalogue, depot.shelf, [Offer("a", path)], "tests", Silent(), die),
            pack_bytes=200 << 10,
        )
