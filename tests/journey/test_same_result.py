"""Root and an ordinary user get the same image, and it is what a mounted disk and chroot give."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.apt import ENVIRONMENT, FOLDERS, compile_plan
from regild.model.json import from_json
from regild.model.plan import Plan
from tests.journey.machine import regild
from tests.journey.peers import differences, raw_disk, tree_of, upgrade_in_chroot
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
    raw = raw_disk(golden, open_folder / "chroot.raw")
    upgrade_in_chroot(
        raw, repository, compile_plan(plan), ENVIRONMENT, open_folder / "mount", FOLDERS
    )

    expected = tree_of(raw, OWN)
    assert differences(expected, tree_of(by_root, OWN)) == []
    assert differences(expected, tree_of(by_user, OWN)) == []


def _plan_text(image: Path) -> str:
    import json

    return json.dumps(regild("plan", image, code=10))
