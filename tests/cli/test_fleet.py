"""`regild fleet`: many images shared among processes answer as they do alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import URI, image, offline

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
