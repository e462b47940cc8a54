from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.store import Catalogue, open_catalogue
from tests.store.databases import open_server

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A real PostgreSQL server, for the whole run."""
    with open_server() as address:
        yield address


def new_database(address: str) -> str:
    """An empty database on a server."""
    from sqlalchemy import create_engine, make_url, text

    url = make_url(address).set(drivername="postgresql+psycopg")
    name = f"t{next(NUMBERS)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return address.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a catalogue goes, on each database in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "catalogue.sqlite")
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def catalogue(place: str) -> Iterator[Catalogue]:
    with open_catalogue(place) as opened:
        yield opened
