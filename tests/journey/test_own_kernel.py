"""An ordinary user has everything of the guest run in a kernel that is a process, and gets the
image that root gets without one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.journey.machine import regild
from tests.journey.peers import differences, tree_of
from tests.journey.people import ordinary_user
from tests.journey.test_same_result import OWN

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(1800)]


@pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is missing")
def test_an_ordinary_user_gets_the_same_by_a_kernel_of_its_own(small_ova: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="regild-test-", dir="/var/tmp") as made:
        folder = Path(made)
        person = ordinary_user(folder)  # opens the folder for everybody
        golden, by_root = folder / "golden.ova", folder / "root.ova"
        shutil.copyfile(small_ova, golden)
        golden.chmod(0o644)
        regild("update", golden, "-o", by_root)
        by_user = person.home / "own-kernel.ova"
        for left_by_an_earlier_run in person.home.glob("own-kernel.*"):
            left_by_an_earlier_run.unlink()
        line = "update", golden, "-o", by_user, "--carrier", "uml", "--timeout", "1500"
        done = person.run(*line, "--scratch", person.home / "jobs")
        assert done.returncode == 0, done.stderr
        assert "Carrier  uml" in done.stdout
        assert list((person.home / "jobs").iterdir()) == []
        assert differences(tree_of(by_root, OWN), tree_of(by_user, OWN)) == []
