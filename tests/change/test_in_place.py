"""Which files a script wrote through, and which it moved over others, as overlayfs tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.image.ext import ExtVolume
from regild.model.json import from_json
from regild.model.record import Record
from tests.change.shelled import Shelled
from tests.image.disks import tool

MIB = 1 << 20
NODUMP = 0x40
"""EXT4_NODUMP_FL."""
EXTENTS = 0x80000
pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

SCRIPT = """
cd /srv
echo more >> written
mv moved over
mv changed over-too; echo more >> over-too
echo more >> one; mv one swap; echo more >> two; mv two one; mv swap two
echo made > made; mv made replaced
mv away back; echo more >> back; mv back away
"""
NAMES = ("written", "moved", "over", "changed", "over-too", "one", "two", "replaced", "away")


def fill(roots: dict[str, Path]) -> None:
    for number, name in enumerate(NAMES):
        (roots["/"] / "srv" / name).write_text(name * (number + 100))


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Shelled:
    folder = tmp_path_factory.mktemp("shelled")
    guest = Shelled(folder, {"/": 48 * MIB})
    guest.make(folder, fill)
    for name in NAMES:
        tool("debugfs", "-w", "-R", f"sif /srv/{name} flags {EXTENTS | NODUMP}", guest.path)
    return guest


@pytest.mark.parametrize("leave", [0, 1], ids=["taken out", "left"])
def test_a_file_that_was_moved_over_another_is_not_that_one(
    leave: int, guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guest.job(tmp_path / "job") as job:
        changed = guest.change(job, monkeypatch, SCRIPT, leave=leave)
        record = from_json(Record, (job.guest / "record.json").read_bytes())
        with guest.volume(changed) as volume:
            flags = {name: flags_of(volume, f"/srv/{name}") for name in ("written", "over", "one")}
    found = {entry.path[5:]: entry.in_place for entry in record.entries if entry.path != "/srv"}
    kept = {name for name, stays in found.items() if stays}
    assert found.keys() == set(NAMES)
    assert kept == {"written", "away"}
    assert flags == {"written": NODUMP, "over": 0, "one": 0}


def flags_of(volume: ExtVolume, path: str) -> int:
    inode = dict(volume.walk())[path]
    return inode.flags & NODUMP
