"""`regild fleet`: many images shared among processes answer as they do alone."""

from __future__ import annotations

import base64
import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import URI, image, offline
from tests.host.ranges import serve_ranges

Regild = Callable[..., Said]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two outdated images and a file that is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "fleet"
    folder.mkdir()
    for name in ("a", "b"):
        image(tmp_path / f"image-{name}", URI).rename(folder / f"{name}.raw")
    (folder / "c.ova").write_bytes(b"no appliance" * 100)
    return folder


def test_a_fleet_is_described_as_each_image_alone(regild: Regild, fleet: Path) -> None:
    paths = sorted(fleet.iterdir())
    said = regild("fleet", "describe", *paths, "--workers", "2", "--json")
    assert said.code == 4, said.err
    assert said.json[:2] == [regild("describe", path, "--json").json for path in paths[:2]]
    assert valid("error", said.json[2])["error"]["kind"] == "NotAnArchive"


def test_a_fleet_is_planned_as_each_image_alone(
    regild: Regild, fleet: Path, tmp_path: Path
) -> None:
    asked = (*offline(tmp_path), "--json")
    paths = sorted(fleet.glob("*.raw"))
    said = regild("fleet", "plan", *paths, "--workers", "2", *asked)
    assert said.code == 10, said.err
    assert said.json == [regild("plan", path, *asked).json for path in paths]


def test_a_terminal_shows_what_each_worker_is_at(fleet: Path) -> None:
    """The server is slow, so that what comes after the first can be seen at work."""
    ours, theirs = pty.openpty()
    with serve_ranges(fleet) as shelf:
        shelf.pause_seconds = 0.2
        command = [str(Path(sys.executable).with_name("regild")), "fleet", "describe"]
        line = [*command, f"{shelf.url}/a.raw", f"{shelf.url}/b.raw", "--workers", "1"]
        with subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
        ):
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # a terminal that nobody holds any more
                while piece := os.read(ours, 4096):
                    shown += piece
    os.close(ours)
    assert b"2 images on 1 workers" in shown, shown
    assert b"1 of 2, 50 %" in shown, shown
    assert re.search(rb"\n  worker 0 .* s  [ab]\.raw", shown), shown


def test_workers_may_read_what_wants_a_password(regild: Regild, fleet: Path) -> None:
    """Two users of one server each with their own, and nobody is shown either."""
    with serve_ranges(fleet) as shelf:
        shelf.password = "Basic " + base64.b64encode(b"anna:a-secret").decode()
        own, others = (
            f"{shelf.url.replace('://', f'://anna:{word}@')}/a.raw"
            for word in ("a-secret", "guess")
        )
        said = regild("fleet", "describe", own, others, "--workers", "1", "--json")
        many = regild("describe", own, others, own, others, own, "--json")
    here = regild("describe", fleet / "a.raw", "--json").json
    assert said.json[0]["packages"] == here["packages"] != []
    assert valid("error", said.json[1])["error"]["kind"] == "NotPermitted"
    assert many.json[0]["packages"] == here["packages"]
    for told in (said.out, said.err, many.out, many.err):
        assert "a-secret" not in told
        assert "guess" not in told


def test_options_that_do_not_fit_together_are_refused(regild: Regild, fleet: Path) -> None:
    both = ("--workers", "2", "--scheduler", "tls://cluster.example:8786")
    assert "not both" in regild("fleet", "describe", fleet, *both).err
    alone = ("--scheduler", "tls://cluster.example:8786", "--tls-ca", fleet)
    assert "go together" in regild("fleet", "describe", fleet, *alone).err
    said = regild("fleet", "plan", fleet, "--tls-key", fleet)
    assert (said.code, "go with --scheduler" in said.err) == (2, True)


def test_an_update_of_images_that_are_not_there_says_so(regild: Regild, tmp_path: Path) -> None:
    said = regild("fleet", "update", "web*", "--store", tmp_path / "s", "--workers", "1")
    assert said.code == 4
    assert "no image of the store fits it" in said.err
