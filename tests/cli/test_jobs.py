"""`regild jobs`: what was ended too early is listed, goes on, or is taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from regild.agent.changing.journal import Journal
from regild.change.apply import Changed
from regild.host.namespace import find_id_map
from regild.host.scratch import open_scratch
from regild.model.digest import Digest
from regild.model.json import to_json
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]
PLAN = Digest("sha256:" + "0" * 64)
CHANGED = Changed("overlay", 1, 1, 1, ())


def leave(folder: Path, name: str, argv: tuple[str, ...] = (), changed: bool = False) -> None:
    """A job that was ended."""
    place = folder / name
    place.mkdir(parents=True)
    journal = Journal(
        "changed" if changed else "planned",
        PLAN,
        "disk",
        "/images/golden.ova",
        "/images/out.ova",
        argv,
        str(folder),
        changed=CHANGED if changed else None,
    )
    (place / "job.json").write_text(to_json(journal))
    (place / "job.lock").touch()
    (place / "guest.log").write_text("said\n")


def test_jobs_are_listed_with_how_far_they_came(regild: Regild, tmp_path: Path) -> None:
    leave(tmp_path, "a", changed=True)
    leave(tmp_path, "b")
    with open_scratch(tmp_path, "c", find_id_map()):
        said = regild("jobs", "list", "--scratch", tmp_path, "--json")
    rows = valid("jobs", said.json)["jobs"]
    assert [(one["name"], one["state"]) for one in rows] == [
        ("a", "can go on"),
        ("b", "starts again"),
        ("c", "running"),
    ]
    assert rows[0]["image"] == "/images/golden.ova"
    assert Path(rows[0]["log"]).read_text() == "said\n"
    assert "starts again" in regild("jobs", "list", "--scratch", tmp_path).out


def test_clean_removes_what_nobody_works_on(regild: Regild, tmp_path: Path) -> None:
    for name in ("a", "b", "d"):
        leave(tmp_path, name)
    with open_scratch(tmp_path, "c", find_id_map(), keep=True):
        assert regild("jobs", "clean", "a", "--scratch", tmp_path).code == 0
        assert not (tmp_path / "a").exists()
        said = regild("jobs", "clean", "--scratch", tmp_path, "--json")
        assert [one["name"] for one in said.json["jobs"]] == ["b", "d"]
        busy = regild("jobs", "clean", "c", "--scratch", tmp_path, "--json")
        assert (busy.code, busy.json["error"]["kind"]) == (15, "Busy")
    assert (tmp_path / "c").exists()


@pytest.mark.parametrize("verb", ["clean", "resume"])
def test_a_job_that_there_is_not_is_said(regild: Regild, tmp_path: Path, verb: str) -> None:
    said = regild("jobs", verb, "none", "--scratch", tmp_path, "--json")
    assert (said.code, said.json["error"]["kind"]) == (4, "MissingFile")


def test_resume_runs_the_command_again_in_its_folder(
    regild: Regild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ("update", "gone.ova", "-o", "out.ova")
    leave(tmp_path / "jobs", "a", argv)
    said = regild("jobs", "resume", "a", "--scratch", tmp_path / "jobs", "--json")
    assert (said.code, said.json["error"]["kind"]) == (4, "MissingFile")
    assert "gone.ova" in said.json["error"]["sentence"]


def test_a_job_without_its_command_line_is_not_guessed(regild: Regild, tmp_path: Path) -> None:
    leave(tmp_path, "a")
    assert regild("jobs", "resume", "a", "--scratch", tmp_path).code == 2
