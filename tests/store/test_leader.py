from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from regild.errors import LeaseLost
from regild.store import Catalogue, open_catalogue
from regild.store.leader import leader_of, leading
from tests.store.databases import open_server


def test_one_leads_and_the_other_is_told_who(place: str, catalogue: Catalogue) -> None:
    with open_catalogue(place) as other:
        assert leader_of(other) == "nobody yet"
        with leading(catalogue, "anna", "machine:1") as held:
            assert held is not None
            held.check()
            with leading(other, "bert", "machine:2") as second:
                assert second is None
            assert leader_of(other) == "anna (machine:1)"
        with leading(other, "bert", "machine:2") as second:
            assert second is not None
            second.check()
        assert leader_of(catalogue) == "bert (machine:2)"


def _lead(place: str, sign: Path) -> None:
    with open_catalogue(place) as catalogue, leading(catalogue, "anna", "machine:1") as held:
        assert held is not None
        sign.touch()
        time.sleep(600)


def test_nobody_waits_for_the_dead(place: str, catalogue: Catalogue, tmp_path: Path) -> None:
    sign = tmp_path / "leads"
    process = multiprocessing.get_context("spawn").Process(target=_lead, args=(place, sign))
    process.start()
    until = time.monotonic() + 60
    while not sign.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    with leading(catalogue, "bert", "machine:2") as held:
        assert held is None
    process.kill()
    process.join()
    while True:  # a server needs a moment to notice
        with leading(catalogue, "bert", "machine:2") as held:
            if held is not None:
                break
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_a_server_that_was_started_anew_has_forgotten_who_leads() -> None:
    with open_server() as address, open_catalogue(address) as catalogue:
        from sqlalchemy import create_engine, make_url, text

        with leading(catalogue, "anna", "machine:1") as held:
            assert held is not None
            url = make_url(address).set(drivername="postgresql+psycopg")
            engine = create_engine(url)
            with engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                    )
                )
            engine.dispose()
            with pytest.raises(LeaseLost):
                held.check()
