from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from regild.errors import Malformed, NewerCatalogue, NotPermitted, Unanswered, UsageError
from regild.store import Catalogue, open_catalogue
from regild.store import catalogue as module
from regild.store.events import list_events, tell
from regild.store.images import add_image, list_images
from regild.store.schema import tables
from tests.store.samples import DAY, add, grow


def test_a_new_catalogue_has_the_shape_of_the_tables_and_nothing_else(catalogue: Catalogue) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with catalogue.writing("tests") as change:
        context = MigrationContext.configure(change.connection)
        assert compare_metadata(context, tables) == []


def test_the_head_that_is_looked_for_is_that_of_the_migrations() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_heads() == [module.HEAD]


def test_a_catalogue_of_a_newer_version_is_refused_and_left_as_it_is(place: str) -> None:
    with open_catalogue(place) as catalogue, catalogue.writing("tests") as change:
        add_image(change, "web")
        change.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerCatalogue) as caught:
        open_catalogue(place)
    assert caught.value.exit_code == 5
    assert "newer than this regild" in str(caught.value)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(module, "HEAD", "9999")
        with open_catalogue(place) as catalogue, catalogue.reading() as view:
            assert [one.name for one in list_images(view)] == ["web"]


def test_an_error_takes_the_whole_change_back(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError), catalogue.writing("tests") as change:
        add_image(change, "web")
        add_image(change, "NO NAME")
    with catalogue.reading() as view:
        assert list_images(view) == ()
        assert list_events(view) == ()


@pytest.mark.parametrize("wish", ["UPDATE events SET actor = 'x'", "DELETE FROM events"])
def test_the_database_itself_refuses_to_change_what_happened(
    catalogue: Catalogue, wish: str
) -> None:
    with catalogue.writing("tests", DAY) as change:
        tell(change, "test", "web", {"why": "look"})
    refused = pytest.raises(Exception, match="append-only")
    with refused, catalogue.writing("tests") as change:
        change.connection.execute(text(wish))
    with catalogue.reading() as view:
        (event,) = list_events(view)
    assert (event.at, event.actor, event.facts) == (DAY, "tests", {"why": "look"})


def test_events_name_who_did_what_in_their_order(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 2)
    with catalogue.reading() as view:
        told = [(one.kind, one.subject, one.actor) for one in list_events(view)]
    assert told == [
        ("image.add", "web", "tests"),
        ("generation.add", "web@1", "tests"),
        ("generation.add", "web@2", "tests"),
    ]


def _publish(place: str, worker: int, rounds: int) -> None:
    with open_catalogue(place) as catalogue:
        for number in range(rounds):
            with catalogue.writing(f"worker {worker}") as change:
                add(change, "web", (worker, number))


def test_two_agents_at_once_give_every_generation_a_number_of_its_own(place: str) -> None:
    with open_catalogue(place) as catalogue:
        grow(catalogue, "web", 0)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_publish, args=(place, one, 20)) for one in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    with open_catalogue(place) as catalogue, catalogue.reading() as view:
        from regild.store.generations import list_generations

        found = list_generations(view, "web")
        assert [one.number for one in found] == list(range(1, 41))
        assert len({one.digest for one in found}) == 40


def _open(place: str) -> None:
    open_catalogue(place).close()


def test_two_that_make_the_same_catalogue_at_once_make_one(place: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_open, args=(place,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


def test_sqlite_is_a_write_ahead_log_with_every_commit_on_the_disk(tmp_path: Path) -> None:
    with open_catalogue(tmp_path / "c.sqlite") as catalogue, catalogue.reading() as view:
        asked = [f"PRAGMA {wish}" for wish in ("journal_mode", "synchronous", "foreign_keys")]
        said = [view.connection.execute(text(one)).scalar() for one in asked]
    assert said == ["wal", 2, 1]


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not mysql"):
        open_catalogue("mysql://somewhere/else")
    with pytest.raises(Unanswered, match="does not answer"):
        open_catalogue(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(NotPermitted):
        open_catalogue(tmp_path / "no" / "folder" / "c.sqlite")
    (tmp_path / "text").write_text("this is a letter to somebody, and not a database at all\n" * 9)
    with pytest.raises(Malformed, match="not a database"):
        open_catalogue(tmp_path / "text")


def test_a_password_in_the_address_is_never_shown() -> None:
    with pytest.raises(Unanswered) as caught:
        open_catalogue("postgresql://regild:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_a_killed_writer_leaves_the_catalogue_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "c.sqlite"
    with open_catalogue(place) as catalogue:
        grow(catalogue, "web", 1)
    writer = multiprocessing.get_context("spawn").Process(target=_half, args=(str(place),))
    writer.start()
    writer.join(120)
    with open_catalogue(place) as catalogue, catalogue.reading() as view:
        assert [one.name for one in list_images(view)] == ["web"]
    with contextlib.closing(sqlite3.connect(place)) as tables:
        assert tables.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _half(place: str) -> None:
    import os
    import signal

    with open_catalogue(place) as catalogue, catalogue.writing("tests") as change:
        add_image(change, "half")
        os.kill(os.getpid(), signal.SIGKILL)
