"""The policy `late-patch`: who asks for a machine gets today's plan, and nobody else is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from regild.agent.keeping import engine
from regild.agent.keeping.engine import Desk
from regild.agent.keeping.publishing import publish
from regild.agent.keeping.storing import Store, open_store
from regild.model.generation import Generation, Reference
from regild.model.job import Job
from regild.store import Writing
from regild.store.generations import list_generations
from regild.store.jobs import list_jobs
from tests.agent.sites import FOLDER_OF_NEXT, NEW, OLD, RENEWED, Site, disk
from tests.cli.conftest import Said, regild
from tests.feeds.repositories import Deb

__all__ = ["regild"]

Regild = Callable[..., Said]
LATE = '\n[request]\npolicy = "late-patch"\n'


def patched(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The job `late-patch` without a guest that runs; no channel is touched."""
    image, number = job.facts["image"], job.facts["number"]
    assert desk.workplace.scratch
    assert job.facts["channel"] == ""

    def settle(change: Writing, made: Generation) -> None:
        desk.end(change, {"generation": made.name})

    path = desk.workplace.scratch / FOLDER_OF_NEXT / image / "root.raw"
    parent = Reference(image, str(number))
    publish(desk.store, path, image, desk.progress, parent=parent, settling=settle)
    return {}


@pytest.fixture(autouse=True)
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.WORKS, "update", RENEWED)
    monkeypatch.setitem(engine.WORKS, "late-patch", "tests.agent.test_late:patched")


@pytest.fixture
def site(tmp_path: Path, regild: Regild) -> Site:
    """A pool of desktops that stands on its first generation, and nothing to update yet."""
    made = Site(tmp_path, '[agent.images."*"]\nupdate = false\n')
    made.write()
    made.offer("web", OLD, days=3)
    regild("image", "add", "web", *made.store)
    first = disk(tmp_path / "web", "web", OLD)
    for channel in ("dev", "production"):
        published = ["publish", first, "--image", "web", "--channel", channel]
        assert regild(*published, *made.store).code == 0
    file = made.file_of_group("web", "production")
    file.write_text(file.read_text() + LATE)
    applied = regild("group", "apply", file, *made.store, *made.state)
    assert applied.code == 0, applied.err
    assert regild("group", "rotate", "web-production", *made.store, *made.state).code == 0
    assert regild("group", "rotate", "web-production", *made.store, *made.state).code == 0
    return made


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    with open_store(site.folder / "store") as opened:
        yield opened


def asked(regild: Regild, site: Site, user: str) -> Said:
    line = ["instance", "request", "web-production", "--user", user, *site.store, *site.state]
    config = ["--config", str(site.folder / "regild.toml")]
    return regild(*line, *config, "--scratch", site.folder / "jobs", "--json")


def generation_of(said: Said) -> int:
    assert said.code == 0, said.err
    return int(said.json["instance"]["generation"])


def own(regild: Regild, site: Site) -> list[int]:
    """What the group's own instances run."""
    told = regild("instance", "list", "web-production", *site.store, "--json").json
    return [one["generation"] for one in told["groups"]["web-production"] if not one["owner"]]


def test_where_nothing_is_new_the_settled_generation_is_handed_out(
    regild: Regild, site: Site
) -> None:
    assert generation_of(asked(regild, site, "anna")) == 1


def test_todays_plan_is_in_what_is_handed_out_and_nowhere_else(
    regild: Regild, site: Site, store: Store
) -> None:
    site.offer("web", NEW)
    site.next_disk("web")
    assert generation_of(asked(regild, site, "anna")) == 2
    assert generation_of(asked(regild, site, "ben")) == 2, "the same plan is carried out once"
    regild("group", "rotate", "web-production", *site.store, *site.state)
    assert own(regild, site) == [1, 1]
    told = regild("image", "show", "web", *site.store, "--json").json
    assert {one["number"] for one in told["channels"]} <= {1, None}
    with store.catalogue.reading() as view:
        line = list_generations(view, "web")
        (job,) = [one for one in list_jobs(view) if one.kind == "late-patch"]
    assert [(one.name, one.parent) for one in line] == [("web@1", ""), ("web@2", "web@1")]
    assert (job.state, job.attempts) == ("done", 1)


def test_who_has_a_machine_keeps_it(regild: Regild, site: Site) -> None:
    first = asked(regild, site, "anna")
    site.offer("web", NEW)
    again = asked(regild, site, "anna")
    assert generation_of(again) == generation_of(first) == 1
    assert again.json["instance"]["name"] == first.json["instance"]["name"]


def test_a_late_one_is_not_replaced_by_what_it_was_made_from(regild: Regild, site: Site) -> None:
    site.offer("web", NEW)
    site.next_disk("web")
    made = asked(regild, site, "anna").json["instance"]["name"]
    for _ in range(3):
        regild("group", "rotate", "web-production", *site.store, *site.state)
    told = regild("instance", "list", "web-production", *site.store, "--json").json
    kept = {one["name"]: one["state"] for one in told["groups"]["web-production"]}
    assert kept[made] == "ready"


def test_the_line_goes_on_from_where_it_was(regild: Regild, site: Site, store: Store) -> None:
    """The agent's next generation is made from the line's newest, not from what stands aside."""
    site.offer("web", NEW)
    site.next_disk("web")
    assert generation_of(asked(regild, site, "anna")) == 2
    site.write('[agent.images."*"]\n')
    newer = Deb("tool", "1.2")
    site.offer("web", newer, days=0)
    site.next_disk("web", newer)
    assert regild(*site.run).code == 0
    with store.catalogue.reading() as view:
        line = list_generations(view, "web")
    assert [(one.name, one.parent) for one in line][2:] == [("web@3", "web@1")]
    assert own(regild, site) == [3, 3]


def test_a_plan_that_cannot_be_made_hands_out_nothing(regild: Regild, site: Site) -> None:
    (site.folder / "mirror").rename(site.folder / "away")
    refused = asked(regild, site, "anna")
    assert refused.code != 0
    told = regild("instance", "list", "web-production", *site.store, "--json").json
    assert {one["owner"] for one in told["groups"]["web-production"]} == {""}


def test_work_that_fails_hands_out_nothing_and_is_tried_again(regild: Regild, site: Site) -> None:
    site.offer("web", NEW)
    refused = asked(regild, site, "anna")
    assert (refused.code, refused.json["error"]["kind"]) == (14, "NotPatched")
    site.next_disk("web")
    assert generation_of(asked(regild, site, "anna")) == 2


def test_a_policy_that_is_none(regild: Regild, site: Site) -> None:
    file = site.file_of_group("web", "production")
    file.write_text(file.read_text() + LATE.replace("late-patch", "later"))
    refused = regild("group", "apply", file, *site.store, *site.state)
    assert refused.code == 14
    assert "line 11" in refused.err
    assert "'later'" in refused.err
