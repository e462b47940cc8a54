"""A real guest over XFS, btrfs in LVM and ext2, brought up to date: the same files as its own apt
gives in a chroot over the mounted volumes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.apt import ENVIRONMENT, FOLDERS, compile_plan
from regild.image.formats import open_disk
from regild.model.json import from_json
from regild.model.plan import Plan
from tests.change.guests import Guest
from tests.change.laid import laid_out, volumes_of
from tests.change.test_kernel import MIXED
from tests.image.mounted import mounted
from tests.journey.machine import regild, settled
from tests.journey.peers import run_below
from tests.journey.test_same_result import OWN

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1800)]


def test_volumes_of_three_kinds_get_the_files_that_a_chroot_gives(
    small_ova: Path, tmp_path: Path
) -> None:
    tmp_path.parent.chmod(0o755)
    guest = laid_out(small_ova, tmp_path, MIXED)
    image, output = guest.disk.path, tmp_path / "new.raw"
    scratch = tmp_path / "jobs"
    answer = regild("update", image, "-o", output, "--scratch", scratch, "--keep-job")
    assert {row["mount"]: row["by"] for row in answer["receipt"]["writers"]} == {
        "/": "user-mode-linux",
        "/boot": "libext2fs",
        "/var": "user-mode-linux",
    }
    plan = from_json(Plan, _plan_text(image, tmp_path / "plan.json"))
    expected = _after_chroot(guest, plan, next(scratch.glob("*/repository")), tmp_path / "classic")
    found = _tree_of(guest, output, tmp_path / "new")
    paths = sorted(expected.keys() | found.keys())
    assert [
        f"{path}: {expected.get(path)} != {found.get(path)}"
        for path in paths
        if expected.get(path) != found.get(path)
    ] == []


def _plan_text(image: Path, path: Path) -> str:
    regild("plan", image, "--out", path, code=10)
    return path.read_text()


def _after_chroot(
    guest: Guest, plan: Plan, repository: Path, folder: Path
) -> dict[str, tuple[object, ...]]:
    """The guest's files after its own apt ran over its mounted volumes."""
    with _together(guest, guest.disk.path, folder) as root:
        run_below(root, repository, compile_plan(plan), ENVIRONMENT, FOLDERS)
        return _files_below(root)


def _tree_of(guest: Guest, image: Path, folder: Path) -> dict[str, tuple[object, ...]]:
    with _together(guest, image, folder, "ro") as root:
        return _files_below(root)


@contextlib.contextmanager
def _together(guest: Guest, image: Path, folder: Path, *options: str) -> Iterator[Path]:
    """The volumes of an image mounted by this machine's kernel as the guest has them."""
    folder.mkdir()
    with open_disk(image) as disk:
        volumes = volumes_of(guest.parts, disk, folder)
    with contextlib.ExitStack() as stack:
        root = folder / "root"
        for mount, volume in volumes.items():
            stack.enter_context(mounted(volume, root / mount.strip("/"), *options))
        yield root
    for volume in volumes.values():
        assert settled(volume, seconds=120).loops == ()
        volume.unlink()


def _files_below(root: Path) -> dict[str, tuple[object, ...]]:
    """Every path with all that it is, but for times, logs and caches."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            place = f"{folder}/{name}"
            path = place.removeprefix(str(root))
            if path.startswith((*OWN, "/lost+found")):
                continue
            status = os.lstat(place)
            is_file = stat.S_ISREG(status.st_mode)
            found[path] = (
                oct(status.st_mode),
                (status.st_uid, status.st_gid),
                status.st_size if is_file else 0,
                0 if stat.S_ISDIR(status.st_mode) else status.st_nlink,
                str(Path(place).readlink()) if stat.S_ISLNK(status.st_mode) else "",
                hashlib.sha256(Path(place).read_bytes()).hexdigest() if is_file else "",
                {
                    key: os.getxattr(place, key, follow_symlinks=False)
                    for key in os.listxattr(place, follow_symlinks=False)
                },
            )
    return found
