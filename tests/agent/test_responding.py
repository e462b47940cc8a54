"""A weakness becomes known: who is exposed is found, and the fix reaches every channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regild.agent.keeping import engine
from tests.agent.sites import NEW, RENEWED, Site
from tests.agent.test_reconcile import add, points
from tests.cli.conftest import Said, regild
from tests.cli.schemas import valid
from tests.feeds.advisories import samples

__all__ = ["regild"]

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.WORKS, "update", RENEWED)


@pytest.fixture
def site(tmp_path: Path, regild: Regild) -> Site:
    made = Site(tmp_path)
    made.write()
    made.offer("web", NEW)
    made.offer("db", NEW)
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv/one.json").write_bytes(samples.text(samples.osv()))
    for image in ("web", "db"):
        made.next_disk(image)
        add(made, regild, image)
    return made


def respond(regild: Regild, site: Site, code: int, *more: str) -> dict[str, Any]:
    rest = site.run[3:]
    said = regild("respond", *more, *rest, "--json")
    assert said.code == code, said.err
    answer: dict[str, Any] = valid("respond", said.json)
    return answer


def test_the_fix_reaches_every_channel_in_one_command(regild: Regild, site: Site) -> None:
    known = ("--advisories", str(site.folder / "osv"))
    dry = respond(regild, site, 10, samples.FIXED, "--dry-run", *known)
    assert points(regild, site) == [1, 1, 1]
    assert (dry["severity"], dry["packages"]) == ("critical", ["source:tool < 1.1"])
    said = [(one["row"]["generation"], one["state"]) for one in dry["exposed"]]
    would = "1 change would take it away"
    assert said == [("db@1", would), ("web@1", would)]
    assert dry["exposed"][0]["row"]["packages"] == ["tool 1.0"]

    answer = respond(regild, site, 0, samples.FIXED, *known)
    said = [(one["row"]["generation"], one["state"]) for one in answer["exposed"]]
    assert said == [("db@1", "fixed in db@2"), ("web@1", "fixed in web@2")]
    assert points(regild, site) == points(regild, site, "db") == [2, 2, 2]
    again = respond(regild, site, 0, samples.FIXED, *known)
    assert again["exposed"] == again["done"] == []


def left(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["where"], one["what"]) for one in answer["left"]]


def test_it_is_not_over_before_the_groups_have_turned(regild: Regild, site: Site) -> None:
    """Promoted is not replaced: the last line, the answer and the exit code say what still runs."""
    known = ("--advisories", str(site.folder / "osv"))
    for image in ("web", "db"):
        file = site.file_of_group(image, "production")
        assert regild("group", "apply", file, *site.store, *site.state).code == 0
        turn = regild("group", "rotate", f"{image}-production", *site.store, *site.state)
        assert turn.code == 0, turn.err
    answer = respond(regild, site, 11, samples.FIXED, *known)
    assert left(answer) == [
        ("group db-production", "2 instances of db@1"),
        ("group web-production", "2 instances of web@1"),
    ]
    assert "regild group rotate db-production" in answer["left"][0]["ends"]
    lines = regild("respond", samples.FIXED, *known, *site.run[3:])
    assert lines.code == 11
    end = f"{samples.FIXED}: not over: 2 groups still have it"
    assert lines.out.rstrip().splitlines()[-1] == end

    waited = respond(regild, site, 0, samples.FIXED, "--wait", "60", *known)
    assert (len(waited["exposed"]), waited["left"]) == (2, [])
    words = {one["what"] for one in waited["done"]}
    assert words >= {"start", "stop"}
    lines = regild("respond", samples.FIXED, *known, *site.run[3:]).out
    end = f"{samples.FIXED}: no channel points at it and no instance runs it"
    assert lines.rstrip().splitlines()[-1] == end


def test_a_channel_that_waits_for_somebody_is_left(regild: Regild, site: Site) -> None:
    known = ("--advisories", str(site.folder / "osv"))
    site.write('[agent.images.web]\napproval = ["production"]\n')
    answer = respond(regild, site, 11, samples.FIXED, *known)
    ends = {one["where"]: one["ends"] for one in answer["left"]}
    asked = "the agent: waits for approval: regild approve web@2 production"
    assert ends["channel production of web"] == asked
    by_hand = "somebody: regild promote db@2 canary (no [agent] policy names db)"
    assert ends["channel canary of db"] == by_hand
    assert "channel dev of db" not in ends


def test_what_has_no_fix_is_said(regild: Regild, site: Site) -> None:
    unfixed = samples.osv(id="DEBIAN-" + samples.OPEN, cve=samples.OPEN, fixed=None)
    (site.folder / "osv/two.json").write_bytes(samples.text(unfixed))
    answer = respond(regild, site, 11, samples.OPEN, "--advisories", str(site.folder / "osv"))
    assert [one["state"] for one in answer["exposed"]] == ["no fix: no fix is known"] * 2
    assert points(regild, site) == [1, 1, 1]


def test_without_advisories_a_no_is_not_certain(regild: Regild, site: Site) -> None:
    answer = respond(regild, site, 3, samples.FIXED)
    assert answer["exposed"] == []
    assert "only the changelogs" in answer["unknowns"][0]["why"]
    known = ("--advisories", str(site.folder / "osv"))
    answer = respond(regild, site, 3, "CVE-1999-0001", *known)
    assert "none speaks of CVE-1999-0001" in answer["unknowns"][0]["why"]


def test_one_that_fails_does_not_keep_the_others_from_it(regild: Regild, site: Site) -> None:
    (site.folder / "jobs/next/web/root.raw").unlink()
    known = ("--advisories", str(site.folder / "osv"))
    answer = respond(regild, site, 4, samples.FIXED, *known)
    states = {one["row"]["generation"]: one["state"] for one in answer["exposed"]}
    assert states["db@1"] == "fixed in db@2"
    assert "root.raw" in states["web@1"]
    lines = regild("respond", samples.FIXED, *known, *site.run[3:]).out
    assert "web@1" in lines
    assert "db@1" not in lines


def test_what_is_no_id_is_refused(regild: Regild, site: Site) -> None:
    for wrong in ("libssl3", "CVE-", "-x"):
        assert regild("respond", "--", wrong).code == 2
