"""What is longer than a column takes: SQLite does not count, PostgreSQL does, and both do alike."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, String, insert, select, update
from sqlalchemy.types import TypeDecorator

from regild.errors import TooLarge
from regild.model.content import Content, Package, Platform
from regild.model.digest import sha256_of
from regild.model.generation import Reference
from regild.model.plan import FeedState
from regild.store import Catalogue, open_catalogue
from regild.store.contents import keep_content
from regild.store.events import list_events, tell
from regild.store.feed_uses import feeds_of, keep_feeds, outdated
from regild.store.images import add_image
from regild.store.schema import Moment, releases, tables
from tests.store.samples import DAY, add

WIDE = "".join(chr(0x10000 + number) for number in random.Random(7).sample(range(60_000), 3000))
"""Signs of four bytes each, that no database packs into less."""


def bounded() -> list[Column[str]]:
    """Every column that has a length of its own."""
    columns = (column for table in tables.tables.values() for column in table.columns)
    return [
        one
        for one in columns
        if isinstance(kind := one.type, (String, TypeDecorator))
        and not isinstance(kind, Moment)
        and getattr(kind, "length", None)
    ]


def _any(column: Column[Any]) -> object:
    """Something that fits."""
    if isinstance(column.type, LargeBinary):
        return b"x"
    return 1 if isinstance(column.type, Integer) else "x"


def test_every_bounded_column_refuses_what_is_too_long_alike(catalogue: Catalogue) -> None:
    columns = bounded()
    assert len(columns) > 50
    for column in columns:
        most = column.type.length  # type: ignore[attr-defined] # all of them have one
        own = {one: _any(one) for one in column.table.primary_key}
        values = {**own, column: "x" * (most + 1)}
        for change_of in (insert, update):
            with (
                pytest.raises(TooLarge, match=f"at most {most} signs"),
                catalogue.writing("tests") as change,
            ):
                change.connection.execute(change_of(column.table).values(values))
        with catalogue.reading() as view:
            longer = "x" * (most + 1)
            asked = select(column).where((column == longer) | column.in_([longer]))
            assert view.connection.execute(asked).first() is None


def test_feeds_of_any_length_are_kept_and_told_apart(catalogue: Catalogue) -> None:
    def feeds(state: str) -> list[FeedState]:
        digest = sha256_of(state.encode())
        addresses = "http://a/" + "x" * 600, "http://a/" + "x" * 600 + "y", f"http://{WIDE}", "\x00"
        return [FeedState(one, suite, digest, "") for one in addresses for suite in ("a", WIDE)]

    with catalogue.writing("tests", DAY) as change:
        add_image(change, "image")
        add(change, "image", 1)
        keep_feeds(change, Reference("image", "1"), feeds("old"))
    with catalogue.reading() as view:
        assert len(feeds_of(view)["image@1"]) == 8
        assert outdated(view, feeds("old")) == ()
        for one in feeds("new"):
            assert outdated(view, [one]) == ("image@1",)


def test_what_an_older_version_kept_uncut_is_planned_anew(tmp_path: Path) -> None:
    with open_catalogue(tmp_path / "catalogue") as catalogue:
        with catalogue.writing("tests", DAY) as change:
            add_image(change, "image")
            add(change, "image", 1)
            row = "INSERT INTO feed_uses VALUES (1, ?, 'a', 'sha256:')"
            change.connection.exec_driver_sql(row, ("x" * 501,))
        with catalogue.reading() as view:
            assert feeds_of(view) == {}


def test_packages_with_names_of_any_length_are_kept(catalogue: Catalogue) -> None:
    said = [WIDE[at : at + 300] for at in range(0, 1500, 300)]
    odd = Package("deb", *said[:3], source=said[3], source_version=said[4])
    with catalogue.writing("tests") as change:
        keep_content(change, Content(Platform("linux", *said[:2], arch=said[2]), (odd,)))
        row = change.connection.execute(select(releases)).one()
    assert len(row.name.encode()) <= 255
    assert row.name.startswith(WIDE[:60])


def test_an_event_about_a_long_subject_is_told(catalogue: Catalogue) -> None:
    with catalogue.writing("tests") as change:
        tell(change, "kind", "x" * 300)
        assert list_events(change)[-1].subject == "x" * 255
