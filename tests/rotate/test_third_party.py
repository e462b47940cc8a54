"""Drivers of third parties: found by entry point, used as ours are, never in their place."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.conftest import regild as regild
from tests.distributions import install

MODULE = '''
from pathlib import Path
from regild.model.rotation import Seen

class Shed:
    """One file for each instance, in the simplest way that the protocol allows."""

    def __init__(self, group, place):
        self.place = place

    def look(self):
        found = [path.name.split("=") for path in sorted(self.place.glob("*=*"))]
        return tuple(Seen(name, int(number), running=True, healthy=True) for name, number in found)

    def start(self, order):
        assert Path(order.disk).read_bytes()
        (self.place / f"{order.name}={order.generation}").touch()

    def drain(self, name):
        pass

    def stop(self, name):
        for path in self.place.glob(f"{name}=*"):
            path.unlink()
'''
ENTRIES = """[regild.drivers]
shed = a_shed:Shed
broken = a_shed:Nothing
folder = a_shed:Shed
"""
GROUP = """[group]
name = "web"
image = "web"
channel = "production"
driver = "{driver}"
size = 2
[health]
within = "1m"
"""
Regild = Callable[..., Said]


@pytest.fixture
def apply(regild: Regild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Said]:
    """Another distribution brings a driver; applies a group that names it, or another."""
    install(tmp_path / "site", "a_shed", MODULE, ENTRIES, monkeypatch)
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    raw, disk = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(bytes(1 << 20))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
    regild("image", "add", "web")
    assert regild("publish", disk, "--image", "web", "--channel", "production").code == 0

    def named(driver: str) -> Said:
        file = tmp_path / "web.toml"
        file.write_text(GROUP.format(driver=driver))
        return regild("group", "apply", file)

    return named


def test_a_group_is_filled_scaled_and_ended_by_it(
    regild: Regild, apply: Callable[[str], Said], tmp_path: Path
) -> None:
    assert apply("shed").code == 0
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    place = tmp_path / "store.groups/web"
    assert [path.name[-2:] for path in place.glob("*=*")] == ["=1", "=1"]
    assert regild("group", "scale", "web", 0).code == 0
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    assert not list(place.glob("*=*"))


def test_one_that_cannot_be_loaded_is_named(apply: Callable[[str], Said]) -> None:
    said = apply("broken")
    assert said.code == 14
    assert "a_shed:Nothing of 'broken' cannot be loaded" in said.err


def test_it_is_among_those_that_there_are(apply: Callable[[str], Said]) -> None:
    assert "broken, exec, folder, libvirt, shed" in apply("gopher").err


def test_regilds_own_drivers_stay_its_own(
    regild: Regild, apply: Callable[[str], Said], tmp_path: Path
) -> None:
    assert apply("folder").code == 0
    assert regild("group", "rotate", "web", "--wait", 60).code == 0
    assert len(list((tmp_path / "store.groups/web/instances").glob("*.disk"))) == 2
