"""kill -9 of the process group at any moment: nothing lost, nothing left, a rerun succeeds."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.machine import Traces, at_work, digest, killed_after, regild, settled

SEED = 20261122


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_update_that_is_killed_leaves_everything_as_it_was(
    small_ova: Path, tmp_path: Path
) -> None:
    Killing(small_ova, tmp_path).run(10)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_hundred_updates_that_are_killed_leave_everything_as_it_was(
    small_ova: Path, tmp_path: Path
) -> None:
    Killing(small_ova, tmp_path).run(100)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_was_killed_after_its_change_goes_on_without_its_scripts(
    small_ova: Path, tmp_path: Path
) -> None:
    killing = Killing(small_ova, tmp_path)
    first = regild(*killing.arguments)
    killing.clear()
    killing.kill_in("changed")
    (job,) = regild("jobs", "list", "--scratch", killing.jobs)["jobs"]  # type: ignore[misc]  # JSON
    assert (job["state"], job["phase"]) == ("can go on", "changed")
    assert job["image"] == str(killing.source)
    log = Path(job["log"])
    before = log.read_bytes()

    answer = regild("jobs", "resume", job["name"], "--scratch", killing.jobs)
    assert answer["plan_id"] == first["plan_id"]
    assert killing.target.is_file()
    assert b"Unpacking" in before
    assert regild("jobs", "list", "--scratch", killing.jobs)["jobs"] == []
    assert digest(killing.source) == killing.before


class Killing:
    """An update of a copy, killed at moments all over its length."""

    def __init__(self, small_ova: Path, folder: Path) -> None:
        self.folder, self.jobs = folder, folder / "jobs"
        self.source, self.target = folder / "golden.ova", folder / "out" / "golden-2.ova"
        shutil.copyfile(small_ova, self.source)
        self.target.parent.mkdir()
        self.before = digest(self.source)
        self.arguments = ("update", self.source, "-o", self.target, "--scratch", self.jobs)
        self.seen: Counter[str] = Counter()

    def run(self, kills: int) -> None:
        """Kill so often, at random moments spread over the whole; then let it finish."""
        begun = time.monotonic()
        regild(*self.arguments)
        whole = time.monotonic() - begun
        self.clear()
        ended = [self.kill_after(moment) for moment in self.moments(kills, whole)]
        assert ended.count(-9) >= kills * 8 // 10, ended
        # However the machine was loaded: dpkg itself was hit at least once.
        while not self.seen["scripts"]:
            self.kill_in("scripts")
        self.clear()  # the last kill may have come too late
        regild(*self.arguments)
        assert self.target.is_file()
        assert digest(self.source) == self.before
        assert not list(self.jobs.glob("*/guest"))

    def moments(self, kills: int, whole: float) -> Iterator[float]:
        chance = random.Random(SEED)
        for number in range(kills):
            yield whole * (number + chance.random()) / kills

    def kill_after(self, seconds: float) -> int:
        """One kill, and a look at what was left."""
        code = killed_after(seconds, *self.arguments)
        self.look()
        return code

    def kill_in(self, phase: str) -> None:
        """Kill as soon as the job is in a phase."""
        killed_after(300, *self.arguments, when=lambda: at_work(self.jobs) == phase)
        self.look()

    def look(self) -> None:
        """Nothing runs, nothing is mounted, no part of a result has its name."""
        self.seen[at_work(self.jobs)] += 1
        assert settled(self.folder) == Traces((), (), ())
        names = sorted(path.name for path in self.target.parent.iterdir())
        if self.target.exists():  # it was done before the kill came
            self.clear()
        else:
            assert names == []

    def clear(self) -> None:
        for path in self.target.parent.iterdir():
            path.unlink()
