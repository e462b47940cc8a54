"""Root and an ordinary user get the same image, and it is what a mounted disk and chroot give."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.agent.inspect import open_system
from regild.agent.intake import open_image
from regild.change.apt import ENVIRONMENT, compile_plan
from regild.change.script import PLACE, STATE
from regild.image.convert import write_raw
from regild.image.disk import Disk
from regild.image.ext import ExtVolume
from regild.model.json import from_json
from regild.model.plan import Plan
from tests.journey.machine import regild, settled
from tests.journey.people import ordinary_user

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(900)]

OWN = ("/var/log/", "/var/cache/", "/var/lib/apt/", "/var/lib/dpkg/lock", "/tmp/", "/run/", "/dev/")
"""Logs, caches and what belongs to a running machine."""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can pass through; pytest's own belong to one."""
    folder = Path(tempfile.mkdtemp(prefix="regild-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_root_an_ordinary_user_and_chroot_give_the_same_files(
    small_ova: Path, open_folder: Path
) -> None:
    golden = open_folder / "golden.ova"
    shutil.copyfile(small_ova, golden)
    golden.chmod(0o644)

    by_root = open_folder / "root" / "out.ova"
    by_root.parent.mkdir()
    scratch = open_folder / "jobs"
    regild("update", golden, "-o", by_root, "--scratch", scratch, "--keep-job")

    person = ordinary_user(open_folder)
    by_user = person.home / "out.ova"
    for left_by_an_earlier_run in person.home.glob("out.*"):
        left_by_an_earlier_run.unlink()
    done = person.run("update", golden, "-o", by_user)
    assert done.returncode == 0, done.stderr

    plan = from_json(Plan, _plan_text(golden))
    repository = next(scratch.glob("*/repository"))
    raw = _raw_disk(golden, open_folder / "chroot.raw")
    _upgrade_in_chroot(raw, repository, plan, open_folder / "mount")

    expected = _tree(raw)
    assert _differences(expected, _tree(by_root)) == []
    assert _differences(expected, _tree(by_user)) == []


def _plan_text(image: Path) -> str:
    import json

    return json.dumps(regild("plan", image, code=10))


def _raw_disk(image: Path, target: Path) -> Path:
    with (
        open_image(image) as opened,
        open_system(opened, opened.only_system) as inspected,
        target.open("wb") as file,
    ):
        write_raw(inspected.boot.disk, file)
    return target


def _upgrade_in_chroot(raw: Path, repository: Path, plan: Plan, mount: Path) -> None:
    """The way of the hand-made script: loop device, mount, chroot, the guest's own apt."""
    with _mounted(raw, mount):
        state = mount / STATE.lstrip("/")
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True)
        place = mount / PLACE.lstrip("/")
        shutil.copytree(repository, place)
        policy = mount / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        for command in compile_plan(plan):
            line = ["chroot", str(mount), "/usr/bin/env", "-i"]
            line += [f"{name}={value}" for name, value in ENVIRONMENT.items()]
            done = subprocess.run([*line, *command.argv], capture_output=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        policy.unlink()
        shutil.rmtree(place)
        shutil.rmtree(state)


@contextlib.contextmanager
def _mounted(raw: Path, mount: Path) -> Iterator[None]:
    offset = _root_offset(raw)
    mount.mkdir()
    options = f"loop,offset={offset}"
    subprocess.run(["mount", "-o", options, raw, mount], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", mount], check=True)
        # A name space that others made meanwhile may hold a copy of the mount for a moment.
        assert settled(raw, seconds=120).loops == ()


def _root_offset(image: Path) -> int:
    with open_image(image) as opened, open_system(opened, opened.only_system) as inspected:
        return inspected.guest.mounts[0].volume.offset


class _Part:
    """One filesystem of a disk, for reading."""

    def __init__(self, disk: Disk, offset: int) -> None:
        self._disk, self._offset = disk, offset
        self.size = disk.size - offset

    def read(self, offset: int, length: int) -> bytes:
        return self._disk.read(self._offset + offset, length)

    def write(self, offset: int, content: bytes) -> None:
        raise AssertionError("nothing is written here")


def _tree(image: Path) -> dict[str, tuple[object, ...]]:
    """Every path of the guest's root with all that it is, but for times."""
    with open_image(image) as opened, open_system(opened, opened.only_system) as inspected:
        offset = inspected.guest.mounts[0].volume.offset
        volume = ExtVolume(_Part(inspected.boot.disk, offset), str(image))
        found: dict[str, tuple[object, ...]] = {}
        for path, inode in volume.walk():
            if path.startswith(OWN):
                continue
            kind = stat.S_IFMT(inode.mode)
            content = hashlib.sha256()
            if kind == stat.S_IFREG:
                done = 0
                for offset, piece in volume.read_content(inode):
                    content.update(bytes(offset - done) + piece)  # a hole reads as zeros
                    done = offset + len(piece)
                content.update(bytes(inode.size - done))
            found[path] = (
                oct(inode.mode),
                inode.uid,
                inode.gid,
                inode.size if kind == stat.S_IFREG else 0,
                0 if kind == stat.S_IFDIR else inode.links,
                volume.read_target(inode) if kind == stat.S_IFLNK else "",
                content.hexdigest(),
                tuple(sorted(volume.read_attributes(inode).items())),
            )
        volume.close()
        return found


def _differences(
    expected: dict[str, tuple[object, ...]], found: dict[str, tuple[object, ...]]
) -> list[str]:
    paths = sorted(expected.keys() | found.keys())
    return [
        f"{path}: {expected.get(path)} != {found.get(path)}"
        for path in paths
        if expected.get(path) != found.get(path)
    ]
