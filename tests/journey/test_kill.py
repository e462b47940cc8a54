"""kill -9 of the process group at any moment: nothing lost, nothing left, a rerun succeeds."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.journey.machine import Traces, digest, killed_after, regild, settled

KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_update_that_is_killed_leaves_everything_as_it_was(
    small_ova: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "golden.ova", tmp_path / "out" / "golden-2.ova"
    shutil.copyfile(small_ova, source)
    target.parent.mkdir()
    before = digest(source)
    arguments = ("update", source, "-o", target, "--scratch", tmp_path / "jobs")
    begun = time.monotonic()
    regild(*arguments)
    whole = time.monotonic() - begun
    for path in target.parent.iterdir():
        path.unlink()

    chance = random.Random(20261122)
    moments = [whole * (number + chance.random()) / KILLS for number in range(KILLS)]
    ended = [killed_after(moment, *arguments) for moment in _spread(moments, target, tmp_path)]
    assert ended.count(-9) >= KILLS - 2, ended
    assert digest(source) == before

    for path in target.parent.iterdir():  # the last kill may have come too late
        path.unlink()
    regild(*arguments)
    assert target.is_file()
    assert digest(source) == before
    assert not list((tmp_path / "jobs").glob("*/guest"))


def _spread(moments: list[float], target: Path, folder: Path):  # type: ignore[no-untyped-def]  # a generator of moments
    """Each moment, and after the kill before it a look at what was left."""
    for number, moment in enumerate(moments):
        if number:
            assert settled(folder) == Traces((), (), ())
            names = sorted(path.name for path in target.parent.iterdir())
            if target.exists():  # it was done before the kill came
                for path in target.parent.iterdir():
                    path.unlink()
            else:
                assert names == []
        yield moment
    assert settled(folder) == Traces((), (), ())
