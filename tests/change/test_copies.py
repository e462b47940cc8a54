"""Data that scripts change are copied first: where one copy had no room, nothing of the change is
taken, however little the script minded."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from regild.change import apply
from regild.change.bounds import check_copies
from regild.change.extract import Taken
from regild.change.left import LEFT, Left
from regild.errors import DiskFull
from regild.model.json import from_json, to_json
from regild.model.record import Record
from tests.change.shelled import Shelled
from tests.journey.machine import Traces, digest, settled

MIB = 1 << 20
pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
MODED = "cd /srv; for name in one two; do chmod 600 $name || true; done"


def guest_with(folder: Path, size: int) -> Shelled:
    """A guest with two files of data of that size."""
    guest = Shelled(folder, {"/": 2 * size + 48 * MIB})
    content = os.urandom(size)

    def fill(roots: dict[str, Path]) -> None:
        for name in ("one", "two"):
            (roots["/"] / "srv" / name).write_bytes(content)

    guest.make(folder, fill)
    return guest


def test_copies_that_memory_has_no_room_for_together_are_made_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = guest_with(tmp_path, 8 * MIB)
    monkeypatch.setattr(apply, "_changes_bytes", lambda plan: 0)
    monkeypatch.setattr(apply, "_memory_for", lambda *_, **__: apply._Memory(64 * MIB, 12 * MIB))
    with guest.job(tmp_path / "job") as job:
        guest.change(job, monkeypatch, MODED)
        record = from_json(Record, (job.guest / "record.json").read_bytes())
    modes = {entry.path: entry.becomes.mode for entry in record.entries}
    assert modes == {"/srv/one": 0o600, "/srv/two": 0o600}


def test_copies_that_the_disk_has_no_room_for_together_end_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, small = guest_with(tmp_path, 160 * MIB), tmp_path / "small"
    before = digest(guest.path)
    monkeypatch.setattr(apply, "_changes_bytes", lambda plan: 0)
    monkeypatch.setattr(apply, "_memory_for", lambda *_, **__: apply._Memory(0, 0))
    small.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=320m,mode=755", "tmpfs", str(small)]
    subprocess.run(line, check=True)
    try:
        with guest.job(small) as job, pytest.raises(DiskFull, match=r"has no room|MiB free"):
            guest.change(job, monkeypatch, MODED)
        assert not list(small.rglob("overlay"))
        assert not list(small.rglob("record.json"))
        assert settled(small / "job") == Traces((), (), ())
    finally:
        subprocess.run(
            ["umount", "--lazy", str(small)], check=True
        )  # its name spaces may still be ending
    assert digest(guest.path) == before


@pytest.mark.parametrize(
    ("free", "copied", "fits"),
    [(300, (), True), (299, (), False), (299, ("large",), True), (199, ("large",), False)],
)
def test_there_has_to_have_been_room_for_whatever_was_not_copied(
    free: int, copied: tuple[str, ...], fits: bool, tmp_path: Path
) -> None:
    sizes = {"large": 300, "small": 200}
    for place in ("tree/data", "upper/changed/data"):
        (tmp_path / place).mkdir(parents=True)
    for name, kib in sizes.items():
        (tmp_path / "tree/data" / name).write_bytes(os.urandom(kib << 10))
    for name in copied:
        (tmp_path / "upper/changed/data" / name).touch()
    left = [Left("/data", number, (f"/{name}",)) for number, name in enumerate(sizes)]
    (tmp_path / LEFT).write_text(to_json(tuple(left), indent=0))
    taken = Taken((), {}, largest_left=300 << 10)
    if fits:
        check_copies(tmp_path, taken, free << 10)
    else:
        with pytest.raises(DiskFull, match="has no room"):
            check_copies(tmp_path, taken, free << 10)
