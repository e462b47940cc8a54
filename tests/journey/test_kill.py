"""kill -9 of the process group at any moment: nothing lost, nothing left, a rerun succeeds."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.apart import alive_with, descendants
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_test_boot_that_is_killed_leaves_nothing(
    small_ova: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    before, jobs = digest(small_ova), tmp_path / "jobs"
    arguments = ("boot-test", small_ova, "--expect", "console:login:", "--scratch", jobs)
    assert killed_after(300, *arguments, "--test-timeout", 300, when=is_running) == -9
    assert settled(tmp_path) == Traces((), (), ())
    assert machines_gone()
    regild(*arguments, "--test-timeout", 2, code=9)
    assert machines_gone()
    assert list(jobs.rglob("tested-*")) == []
    assert digest(small_ova) == before


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_an_update_that_is_killed_in_its_test_boot_goes_on_to_be_published(
    worker_ova: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    killing = Killing(worker_ova, tmp_path, "--test-boot", "--expect", "console:HEALTH ok",
                      "--test-timeout", "1500")  # fmt: skip

    def is_coming_up() -> bool:
        consoles = killing.jobs.glob("*/guest/boot-test.console.log")
        return any(b"Linux version" in path.read_bytes() for path in consoles)

    assert killed_after(1800, *killing.arguments, when=is_coming_up) == -9
    killing.look()
    assert killing.seen == {"changed": 1}
    assert machines_gone()
    (job,) = regild("jobs", "list", "--scratch", killing.jobs)["jobs"]  # type: ignore[misc]  # JSON
    assert (job["state"], job["phase"]) == ("can go on", "changed")
    answer = regild("jobs", "resume", job["name"], "--scratch", killing.jobs)
    assert answer["receipt"]["boot_test"]["reached"]  # type: ignore[index]  # JSON
    assert killing.target.is_file()
    assert digest(killing.source) == killing.before
    assert list(killing.jobs.iterdir()) == []
    assert machines_gone()


def is_running() -> bool:
    """Whether a machine that this test started is there."""
    return bool(set(alive_with("qemu-system")) & descendants())


class Killing:
    """An update of a copy, killed at moments all over its length."""

    def __init__(self, image: Path, folder: Path, *options: object) -> None:
        self.folder, self.jobs = folder, folder / "jobs"
        self.source = folder / f"golden{image.suffix}"
        self.target = folder / "out" / f"golden-2{image.suffix}"
        shutil.copyfile(image, self.source)
        self.target.parent.mkdir()
        self.before = digest(self.source)
        words = "update", self.source, "-o", self.target, "--scratch", self.jobs
        self.arguments = (*words, *options)
        self.seen: Counter[str] = Counter()
        self.whole: dict[str, float] = {}

    def run(self, kills: int) -> None:
        """Kill so often, at random moments spread over the whole; then let it finish."""
        begun = time.monotonic()
        regild(*self.arguments)
        self.whole = dict.fromkeys(("fresh", "going on"), time.monotonic() - begun)
        self.clear()
        chance = random.Random(SEED)
        done = tried = 0
        while done < kills:
            tried += 1
            assert tried < 4 * kills + 20, self.seen
            if chance.random() < 0.5:  # a job that goes on is shorter and runs no scripts
                shutil.rmtree(self.jobs, ignore_errors=True)
            done += self.kill_at(chance.random())
        # However the machine was loaded: dpkg itself was hit at least once.
        while not self.seen["scripts"]:
            self.kill_in("scripts")
        self.clear()  # the last kill may have come too late
        regild(*self.arguments)
        assert self.target.is_file()
        assert digest(self.source) == self.before
        assert not list(self.jobs.glob("*/guest"))

    def kill_at(self, share: float) -> bool:
        """One kill at a share of how long such a run takes, and a look at what was left; false
        where it was done before."""
        kind = "going on" if at_work(self.jobs) == "changed" else "fresh"
        begun = time.monotonic()
        code = killed_after(share * self.whole[kind], *self.arguments)
        if code == 0:
            self.whole[kind] = time.monotonic() - begun
        self.look()
        return code == -9

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
