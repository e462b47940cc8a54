"""`regild plan` of many images: one table, each planned once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from regild.agent.planning import planner
from regild.errors import PlanError
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import OLD, SUITE, URI, YESTERDAY, image, offline
from tests.feeds.advisories import samples

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two outdated images, and one whose source the site refuses."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for name, uri in (("a", URI), ("b", URI), ("c", "http://127.0.0.1/debian")):
        path = image(tmp_path / f"image-{name}", uri)
        path.rename(folder / f"{name}.raw")
    return folder


def test_a_folder_is_planned_in_one_table(regild: Regild, fleet: Path, tmp_path: Path) -> None:
    (tmp_path / "tracker.json").write_bytes(samples.text(samples.tracker()))
    (fleet / "c.raw").unlink()
    argv = ["plan", fleet, *offline(tmp_path), "--advisories", tmp_path / "tracker.json"]
    said = regild(*argv)
    assert said.code == 10, said.err
    lines = said.out.splitlines()
    assert lines[0].split() == [
        "IMAGE", "PENDING", "SECURITY", "SEVERITY", "EXPLOITED", "HELD", "UNFIXED", "AGE", "STATE",
    ]  # fmt: skip
    assert "high" in lines[1] + lines[2]
    assert "2 images, 2 with changes to make" in said.out


def test_one_that_fails_does_not_keep_the_others_from_it(
    regild: Regild, fleet: Path, tmp_path: Path
) -> None:
    mirror = offline(tmp_path)[1]
    argv = ["plan", fleet / "?.raw", "--mirror", f"{URI}={mirror}"]
    said = regild(*argv, "--json")
    assert said.code == 7
    first, second, failed = said.json
    assert valid("plan", first)["steps"] == valid("plan", second)["steps"] != []
    assert valid("error", failed)["error"]["kind"] == "SourceRefused"
    shown = regild(*argv).out
    assert "failed: " in shown and "3 images, 2 with changes to make, 1 failed" in shown


def test_each_is_as_whole_as_alone(regild: Regild, fleet: Path, tmp_path: Path) -> None:
    where = offline(tmp_path)
    several = regild("plan", fleet / "a.raw", fleet / "b.raw", *where, "--json").json
    assert several[0] == regild("plan", fleet / "a.raw", *where, "--json").json


def test_csv_and_markdown_hold_the_same_rows(regild: Regild, fleet: Path, tmp_path: Path) -> None:
    (fleet / "a.raw").rename(fleet / "=1|2.raw")
    (fleet / "c.raw").unlink()
    where = offline(tmp_path)
    out = regild("plan", fleet, *where, "--format", "csv").out
    head, *rows = csv.reader(io.StringIO(out))
    assert head[:3] == ["image", "pending", "security"]
    assert [row[1] for row in rows] == ["1", "1"]
    marked = regild("plan", fleet, *where, "--format", "markdown").out.splitlines()
    assert marked[1].startswith("| --- |") and len(marked) == 4
    assert "=1\\|2.raw" in marked[2]
    monitor = regild("plan", "--format", "xml", fleet)
    assert monitor.code == 2


def test_a_cell_is_never_a_formula(regild: Regild, tmp_path: Path) -> None:
    from regild.cli.fleet_text import fleet_text
    from tests.feeds.repositories import NOW

    failed = [(Path("=cmd()"), PlanError(where="x", why="y"))]
    assert fleet_text(failed, "csv", 80, NOW).splitlines()[1].startswith("'=cmd()")


def test_only_what_changed_is_planned_again(
    regild: Regild, fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved: list[str] = []
    before = planner.make_plan

    def counted(content: object, *rest: object) -> object:
        solved.append("once")
        return before(content, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(planner, "make_plan", counted)
    where = offline(tmp_path)
    argv = ["plan", fleet / "a.raw", fleet / "b.raw", "--json"]
    first = regild(*argv, *where).json
    assert len(solved) == 1  # both images are of one state
    assert regild(*argv, *where).json == first
    assert len(solved) == 1
    regild(*argv, *where, "--hold", "tool")
    assert len(solved) == 2
    (tmp_path / "kev.json").write_bytes(samples.text(samples.kev()))
    regild(*argv, *where, "--advisories", tmp_path / "kev.json")
    assert len(solved) == 3
    moved = offline(tmp_path, replace(SUITE, debs=(OLD,), date=YESTERDAY + timedelta(hours=1)))
    assert [one["steps"] for one in regild(*argv, *moved).json] == [[], []]
    assert len(solved) == 4


def test_several_processes_share_the_images(regild: Regild, fleet: Path, tmp_path: Path) -> None:
    for name in ("d", "e"):
        (fleet / f"{name}.raw").write_bytes((fleet / "a.raw").read_bytes())
    said = regild("plan", fleet, "--mirror", f"{URI}={offline(tmp_path)[1]}", "--json")
    assert said.code == 7
    assert [len(one.get("steps", "x")) for one in said.json] == [1, 1, 1, 1, 1]
    assert "error" in said.json[2]


def test_out_takes_one_plan(regild: Regild, fleet: Path, tmp_path: Path) -> None:
    said = regild("plan", fleet, *offline(tmp_path), "--out", tmp_path / "plan.json")
    assert said.code == 2
    typed = ["--format", "csv", "--out", tmp_path / "plan.json"]
    one = regild("plan", next(fleet.glob("*.raw")), *offline(tmp_path), *typed)
    assert one.code == 10 and one.out.startswith("image,pending")
    assert (tmp_path / "plan.json").exists()
