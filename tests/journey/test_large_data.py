"""A change of a small system beside much data: what it reads and copies grows with the system.

How many gigabytes says REGILD_DATA_GB; so much must be free on the disk, and some more.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.large import make_disk
from regild.change.apply import DiskFile
from regild.change.extract import TAKEN, Taken
from regild.describe.reader import describe_guest
from regild.host.scratch import Scratch
from regild.host.stage import run_stage
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.model.json import from_json, to_json
from regild.model.progress import Silent
from regild.prove.touched import Area
from tests.change.guests import Guest, Result, build_deb, parts_in

GIB = int(os.environ.get("REGILD_DATA_GB", "2"))
MIB = 1 << 20
pytestmark = [pytest.mark.root, pytest.mark.nightly, pytest.mark.timeout(3600)]

SCRIPT = """: /var/lib/zip
mkdir -p /var/lib/zip
cat /srv/store/0/0.large 2>/dev/null | sha256sum > /var/lib/zip/sum"""


class Steps:
    """What each step of a change read of the disk, and how long it took."""

    def __init__(self) -> None:
        self.bytes_read: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def run(self, name: str, *arguments: Any, **options: Any) -> Any:
        """As `run_stage`."""
        step = name.rpartition(".")[2]
        begun = time.monotonic()
        answer = run_stage(name, *arguments, **options)
        self.seconds[step] = time.monotonic() - begun
        self.bytes_read[step] = answer.get("bytes_read", 0)
        return answer


def measured(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Steps, Taken]:
    """Describe a disk, change it by a package whose script reads a file of the data, compare."""
    steps = Steps()
    monkeypatch.setattr("regild.change.apply.run_stage", steps.run)
    with open_disk(path) as disk, open_guest(disk) as opened:
        begun = time.monotonic()
        describe_guest(opened)
        steps.seconds["describe"] = time.monotonic() - begun
        steps.bytes_read["describe"] = disk.bytes_read
    place = DiskFile(path, 0, path.stat().st_size)
    guest = Guest(place, parts_in(place))
    with guest.job(folder) as job:
        changed = guest.apply(job, build_deb(folder, "zip", "99", postinst=SCRIPT))
        result = Result(guest, changed)
        told = result.content("/var/lib/zip/sum").split()[0].decode()
        with open_disk(path) as disk:
            large = result.paths.get("/srv/store/0/0.large")
            content = b"".join(p for _, p in result.volume.read_content(large)) if large else b""
        assert told == hashlib.sha256(content).hexdigest()
        result.close()
        known = [row.path for row in changed.explained]
        compare(steps, guest, job, changed.overlay, known)
        return steps, from_json(Taken, (job.guest / TAKEN).read_bytes())


def compare(steps: Steps, guest: Guest, job: Scratch, overlay: str, known: list[str]) -> None:
    """The proof's step that looks at all inodes."""
    from regild.host.namespace import View

    areas = tuple(Area(part.mount, part.on_disk) for part in guest.parts)
    with guest.disk.path.open("rb") as file:
        request = {"disk": file.fileno(), "where": "disk", "offset": 0, "bytes": guest.disk.bytes}
        request |= {"areas": to_json(areas, 0), "overlay": overlay, "known": sorted(known)}
        request |= {"scratch": str(job.guest / "metadata.img")}
        answer = steps.run(
            "regild.prove.touched",
            request,
            ids=job.ids,
            view=View(writable=(job.guest,)),
            log=job.path / "stages.log",
            progress=Silent(),
            keep=(file.fileno(),),
        )
    assert (answer["touched"], answer["filesystems"]) == ("[]", "[]")


def test_what_a_change_reads_and_copies_grows_with_the_system(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    tmp_path.parent.chmod(0o755)
    found = []
    for gibibytes in (0, GIB):
        path = tmp_path / f"{gibibytes}.raw"
        try:
            make_disk(path, gibibytes)
            (tmp_path / str(gibibytes)).mkdir()
            found.append(measured(path, tmp_path / str(gibibytes), monkeypatch))
        finally:
            path.unlink(missing_ok=True)
    (steps, taken), (more, more_taken) = found
    record_property("GiB of data", GIB)
    for step, seconds in more.seconds.items():
        read = more.bytes_read[step] >> 20
        beside = f"{steps.seconds[step]:.1f} s and {steps.bytes_read[step] >> 20} MiB without them"
        record_property(f"s to {step} and {read} MiB read ({beside})", f"{seconds:.1f}")
    assert more_taken.bytes_left > GIB << 30 - 1
    assert more_taken.bytes_taken < taken.bytes_taken + 4 * MIB
    # What says where data lie is read: inodes, block maps, folders; and by e2fsck, which is shown
    # all that is not content, the tables for inodes that nobody uses.
    for step, per_gib in {"describe": 4, "write": 4, "touched": 96}.items():
        assert more.bytes_read[step] < steps.bytes_read[step] + GIB * per_gib * MIB, step
    assert more_taken.bytes_read < taken.bytes_read + GIB * 4 * MIB
