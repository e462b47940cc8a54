"""The agent's loop over a whole small site: what it does, what it leaves alone, what stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regild.agent.keeping import engine
from regild.agent.keeping.storing import Store, open_store
from regild.errors import FeedUnreachable
from regild.store.leader import leading
from tests.agent.sites import NEW, OLD, RENEWED, Site, disk
from tests.cli import golden
from tests.cli.conftest import Said, regild
from tests.cli.schemas import valid

__all__ = ["regild"]

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.WORKS, "update", RENEWED)
    monkeypatch.setenv("REGILD_ACTOR", "anna")


@pytest.fixture
def site(tmp_path: Path, regild: Regild) -> Site:
    """One image with three channels, a group behind each, and something to update."""
    made = Site(tmp_path)
    made.write()
    made.offer("web", NEW)
    made.next_disk("web")
    add(made, regild, "web", ("dev", "canary", "production"))
    return made


def add(site: Site, regild: Regild, image: str, groups: tuple[str, ...] = ()) -> None:
    assert regild("image", "add", image, *site.store).code == 0
    first = disk(site.folder / image, image, OLD)
    published = ["publish", first, "--image", image, "--channel", "dev"]
    assert regild(*published, *site.store).code == 0
    for channel in ("canary", "production"):
        assert regild("promote", f"{image}@1", channel, *site.store).code == 0
    for channel in groups:
        file = site.file_of_group(image, channel)
        assert regild("group", "apply", file, *site.store, *site.state).code == 0


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    with open_store(site.folder / "store") as opened:
        yield opened


def once(regild: Regild, site: Site, code: int = 0, *more: str) -> dict[str, Any]:
    said = regild(*site.run, *more, "--json")
    assert said.code == code, said.err
    answer: dict[str, Any] = valid("agent", said.json)
    return answer


def points(regild: Regild, site: Site, image: str = "web") -> list[int]:
    told = regild("image", "show", image, *site.store, "--json").json
    return [one["number"] for one in told["channels"]]


def running(regild: Regild, site: Site, group: str) -> list[int]:
    told = regild("instance", "list", group, *site.store, "--json").json
    return [one["generation"] for one in told["groups"][group]]


def words(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["what"], one["subject"]) for one in answer["done"]]


def test_one_run_brings_what_changed_to_every_instance(regild: Regild, site: Site) -> None:
    answer = once(regild, site)
    told = words(answer)
    for word in (
        ("planned", "web@1"),
        ("updated", "web@1"),
        ("promoted", "web@2 -> canary"),
        ("promoted", "web@2 -> production"),
    ):
        assert word in told
    assert points(regild, site) == [2, 2, 2]
    for channel in ("dev", "canary", "production"):
        assert running(regild, site, f"web-{channel}") == [2, 2]
    lines = regild(*site.run).out
    assert "planned" in lines
    assert "nothing to change" in lines
    assert once(regild, site)["done"] == []
    assert points(regild, site) == [2, 2, 2]
    line = regild("generation", "list", "web", *site.store, "--json").json["generations"]
    assert [one["parent"] for one in line] == ["", "web@1"]


def test_only_what_a_changed_repository_concerns_is_planned_again(
    regild: Regild, site: Site
) -> None:
    site.offer("db", OLD)
    add(site, regild, "db")
    assert {"web@1", "db@1"} <= {subject for what, subject in words(once(regild, site))}
    once(regild, site)
    site.offer("db", NEW, days=0)
    site.next_disk("db")
    planned = [one for one in words(once(regild, site)) if one[0] in ("planned", "updated")]
    assert planned == [("planned", "db@1"), ("updated", "db@1")]
    site.write('[agent.images."*"]\nmode = "full"\n')
    planned = [one for one in words(once(regild, site)) if one[0] == "planned"]
    assert planned == [("planned", "db@2"), ("planned", "web@2")]  # other wishes, another plan


def test_people_are_asked_and_answer(regild: Regild, site: Site) -> None:
    site.write('[agent.images.web]\napproval = ["production"]\n')
    answer = once(regild, site)
    assert points(regild, site) == [2, 2, 1]
    how = "regild approve web@2 production"
    waits = f"web@2 -> production: waits for approval: {how}"
    assert [one["text"] for one in answer["waits"]] == [waits]
    said = regild("approve", "web@2", "production", "--why", "seen", *site.store, "--json")
    assert valid("approve", said.json)["approval"]["verdict"] == "approved"
    assert regild("approve", "web@2", "production", *site.store).code == 4
    once(regild, site)
    assert points(regild, site) == [2, 2, 2]


def test_what_somebody_refused_goes_no_further(regild: Regild, site: Site) -> None:
    site.write('[agent.images.web]\napproval = ["production"]\n')
    once(regild, site)
    assert regild("approve", "web@2", "production", "--refuse", *site.store).code == 0
    answer = once(regild, site)
    assert answer["waits"][0]["text"] == "halted: web@2 -> production: it was refused"
    assert points(regild, site) == [2, 2, 1]


def test_a_generation_bakes_first(regild: Regild, site: Site) -> None:
    site.write('[agent.images.web]\nbake = "1h"\n')
    answer = once(regild, site)
    assert points(regild, site) == [2, 1, 1]
    assert "bakes in dev" in answer["waits"][0]["text"]
    assert answer["again"] is not None


def test_a_bad_generation_stops_at_the_first_group(regild: Regild, site: Site) -> None:
    site.write('[agent.images.web]\nchannels = ["canary", "production"]\n')
    once(regild, site)  # it comes into canary and production: there is no bake
    site.offer("web", NEW, days=0)
    folder = site.folder / "instances" / "web-canary"
    path = site.next_disk("web", NEW)
    path.write_bytes(path.read_bytes() + bytes(512))
    site.write('[agent.images.web]\nchannels = ["canary", "production"]\nmode = "full"\n')
    numbers = {int(one.stem.rpartition("-")[2]) for one in folder.glob("*.json")}
    bad = folder / f"web-canary-{max(numbers) + 1}.status"
    bad.write_text(json.dumps({"running": False, "healthy": False}))
    regild("publish", path, "--image", "web", "--channel", "canary", *site.store)
    answer = once(regild, site)
    assert ("halt", "group web-canary") in words(answer) or (
        "roll-back",
        "group web-canary",
    ) in words(answer)
    halted = [one["text"] for one in answer["waits"] if one["text"].startswith("halted")]
    assert halted == ["halted: web@3 -> production: group web-canary has given it up"]
    assert points(regild, site) == [1, 3, 2]
    assert running(regild, site, "web-production") == [2, 2]


def test_a_second_agent_says_who_leads(regild: Regild, site: Site, store: Store) -> None:
    with leading(store.catalogue, "bert", "elsewhere/7ea5/4026:15306:718:cde3"):
        said = regild(*site.run, "--json")
        assert said.code == 15
        failure = valid("error", said.json)["error"]
        assert failure["kind"] == "Busy"
        assert "bert (process 15306 on elsewhere) leads" in failure["sentence"]
    once(regild, site)


def lose_the_mirror(desk: object, job: object) -> dict[str, Any]:
    raise FeedUnreachable(where="mirror.example", why="no route")


def test_what_failed_is_said_until_it_is_mended(
    regild: Regild, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.folder / "jobs/next/web/root.raw").unlink()
    answer = once(regild, site, 4)
    assert "root.raw" in answer["failures"][0]["why"]
    assert once(regild, site, 4)["failures"] == answer["failures"]
    (key,) = [one["key"] for one in regild("agent", "jobs", *site.store, "--json").json["jobs"]]
    assert "failed" in regild("agent", "jobs", *site.store).out
    monkeypatch.setitem(engine.WORKS, "update", "tests.agent.test_reconcile:lose_the_mirror")
    assert regild("agent", "retry", key, *site.store).code == 0
    answer = once(regild, site, 7)
    assert answer["failures"][0]["again"] is not None
    monkeypatch.setitem(engine.WORKS, "update", RENEWED)
    site.next_disk("web")
    assert once(regild, site, 7)["failures"]  # its time has not come
    assert regild("agent", "retry", key, *site.store).code == 0
    assert ("updated", "web@1") in words(once(regild, site))
    assert regild("agent", "retry", key, *site.store).code == 4


def test_what_cannot_be_done_does_not_keep_the_rest_from_it(
    regild: Regild, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "away.toml").write_text(
        '[group]\nname = "away"\nimage = "web"\nchannel = "production"\n'
        'driver = "exec"\nsize = 1\n[options]\nlook = "/nonexistent/look"\n'
        'start = "/nonexistent/start"\nstop = "/nonexistent/stop"\n'
        'drain = "/nonexistent/drain"\n'
    )
    assert regild("group", "apply", tmp_path / "away.toml", *site.store, *site.state).code == 0
    site.write(
        '[agent.images.lost]\n[agent.images.web]\nchannels = ["dev", "canary"]\n'
        '[agent.images."*"]\nchannels = ["dev", "nowhere"]\n'
    )
    site.offer("db", OLD)
    add(site, regild, "db")
    answer = once(regild, site, 4)
    failed = {one["subject"]: one["why"] for one in answer["failures"]}
    assert "no generation" in failed["lost"]
    assert "channel nowhere of image db" in failed["db"]
    assert "there are: dev, canary, production" in failed["db"]
    assert "/nonexistent/look" in failed["group away"]
    assert points(regild, site) == [2, 2, 1]


def test_what_nobody_could_read_is_no_image_without_changes(
    regild: Regild, site: Site, tmp_path: Path
) -> None:
    regild("image", "add", "odd", *site.store)
    odd = golden.partitioned(tmp_path, b"\x5a" * golden.MIB)
    assert regild("publish", odd, "--image", "odd", *site.store).code == 0
    answer = once(regild, site, 3)
    assert "what it holds was not read" in answer["failures"][0]["why"]


def test_generations_are_pushed_where_the_policy_wants_them(regild: Regild, site: Site) -> None:
    target = site.folder / "target"
    site.write(f'[agent.images.web]\ntargets = ["{target.as_uri()}"]\n')
    answer = once(regild, site)
    assert ("pushed", "web@2") in words(answer)
    assert (target / "web/2/label.json").is_file()
    assert not (target / "web/1").exists()
    assert once(regild, site)["done"][0]["what"] == "planned"


def daemon(site: Site) -> subprocess.Popen[str]:
    line = [one for one in site.run if one != "--once"]
    code = (
        "import sys; from regild.agent.keeping import engine; from regild.cli.front import run; "
        f"engine.WORKS['update'] = {RENEWED!r}; sys.exit(run(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_it_runs_until_it_is_asked_to_end_and_the_second_takes_over(
    regild: Regild, site: Site
) -> None:
    site.write('tick = "1s"\n[agent.images.web]\n')
    first = daemon(site)
    until = time.monotonic() + 120
    while points(regild, site) != [2, 2, 2]:
        assert time.monotonic() < until
        assert first.poll() is None, first.communicate()
        time.sleep(0.2)
    second = daemon(site)
    assert second.stderr
    for line in second.stderr:  # it says who leads, and waits
        if "leads; waiting for it to end" in line:
            break
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert "the agent has ended" in out
    assert "promoted web@2 -> production" in err
    assert regild("generation", "list", "web", *site.store).out.count("web@") == 3
    second.send_signal(signal.SIGTERM)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
