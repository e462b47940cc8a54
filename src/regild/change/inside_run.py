"""The guest's commands and their record, inside of a user-mode kernel.

Runs as the first program of `regild.host.uml`. The guest's volumes are mounted as they are, read
only; above each lies an overlay whose changes go to a drive of the job. Scripts run in the same
sandbox as by the record carrier, and what they did is recorded by the same code: only the kernel is
another one, and nothing but its answers comes out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from regild.change.bounds import RoomWatch
from regild.change.extract import check_mount_point
from regild.change.family import family_named
from regild.change.inside import Room, room_of
from regild.change.papers import read_paper
from regild.change.run import guest_over, keep_record, make_layers, mount_overlay
from regild.change.script import GuestCommand
from regild.change.stream import FIXED, read_flags
from regild.errors import RecordRefused
from regild.host.uml_init import device, load_module, mount_at, show_at
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.progress import Progress
from regild.model.record import Record

STEPS: Final = "steps"
"""The file beside the answers to which each step is added as it begins."""
OVERLAY: Final = "fs/overlayfs/overlay.ko"


class Lower(Value, frozen=True):
    """One of the guest's filesystems, and the kernel's drive that holds it."""

    mount: str
    drive: int
    filesystem: str
    options: str = ""


class Done(Value, frozen=True):
    """What is told besides the files."""

    entries: int
    content_bytes: int
    said: tuple[str, ...]
    rooms: dict[str, Room]
    """What each filesystem has free, by its mount point."""


def main(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run `commands` over the volumes in `lowers`, changes on the last drive; the record, its
    contents and owners are left in the folder.

    Raises: as `regild.change.run.main`; UnsupportedFilesystem where a volume is not mounted.
    """
    lowers = from_json(tuple[Lower, ...], request["lowers"])
    commands = from_json(tuple[GuestCommand, ...], request["commands"])
    job = folder / "job"
    load_module(OVERLAY)
    mount_at(device(request["changes"]), _made(job), "ext4", read_only=False)
    rooms = _mount_lowers(lowers, job / "tree")
    upper = make_layers(job, 0, family_named(request["type"]))
    mount_overlay(job)
    uppers = {one.mount: _lay_over(one, job) for one in lowers if one.mount != "/"}
    room = RoomWatch(job / "upper", job / "memory", request["room_bytes"])
    guest = guest_over(job, folder, request, room)
    steps = _Steps(folder / STEPS)
    said = [guest.run(command, steps) for command in commands]
    for mount, changed in uppers.items():
        show_at(changed, Path(f"{upper}{mount}"))
    told = keep_record(job, folder, upper, request, steps)
    record = read_paper(Record, folder / "record.json", "the change record")
    _refuse_fixed(record, job / "tree")
    done = Done(told["entries"], told["content_bytes"], tuple(said), rooms)
    return {"done": to_json(done, indent=0)}


def _mount_lowers(lowers: tuple[Lower, ...], tree: Path) -> dict[str, Room]:
    """Mount the guest's volumes as one tree, and say what each has free."""
    rooms = {}
    tree.mkdir()
    for one in lowers:
        check_mount_point(tree, one.mount)
        place = Path(f"{tree}{one.mount}") if one.mount != "/" else tree
        # What a journal still holds was refused when the image was described: nothing is replayed.
        options = one.options or ("noload" if one.filesystem in ("ext3", "ext4") else "")
        mount_at(device(one.drive), place, one.filesystem, read_only=True, options=options)
        rooms[one.mount] = room_of(place)
    return rooms


def _lay_over(one: Lower, job: Path) -> Path:
    """An overlay over a further volume, where the merged tree has its mount point; its changes."""
    lower, place = Path(f"{job}/tree{one.mount}"), Path(f"{job}/merged{one.mount}")
    check_mount_point(job / "merged", one.mount)
    # Times set anew to what they are bring the mount point into the upper directory.
    os.utime(place, ns=(place.stat().st_atime_ns, place.stat().st_mtime_ns))
    changes = job / "upper" / f"drive{one.drive}"
    for name in ("changed", "work"):
        _made(changes / name)
    status = lower.stat()
    os.chown(changes / "changed", status.st_uid, status.st_gid)
    os.chmod(changes / "changed", status.st_mode & 0o7777)
    os.utime(changes / "changed", ns=(status.st_mtime_ns, status.st_mtime_ns))
    layers = f"lowerdir={lower},upperdir={changes}/changed,workdir={changes}/work"
    layers += ",userxattr,xino=off"
    mount_at("overlay", place, "overlay", read_only=False, options=layers)
    return changes / "changed"


def _refuse_fixed(record: Record, tree: Path) -> None:
    """Refuse a change of what the guest made immutable.

    Raises: RecordRefused.
    """
    for entry in record.entries:
        if entry.was.kind in ("file", "directory"):
            handle = os.open(f"{tree}{entry.path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if read_flags(handle) & FIXED:
                    raise RecordRefused(where=entry.path, why="the guest made it immutable")
            finally:
                os.close(handle)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


class _Steps:
    """Progress as lines of a file, for whoever waits outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins."""
        with self.path.open("a") as file:
            file.write(f"{name}\n")

    def advance(self, amount: int) -> None:
        """Some more is done: nothing that anybody outside counts."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        self.step(text)


_: type[Progress] = _Steps
