"""The inputs that are kept, and a short burst of new ones, end in an answer or an error of ours."""

from __future__ import annotations

import random
import time

import pytest

from tests.fuzz.kept import read_kept
from tests.fuzz.targets import TARGETS, run_target
from tests.ovf.test_damage import damaged

BURST_SECONDS = 0.5
BURST_MAX = 300
LONGEST = 60_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_is_read_or_refused(name: str) -> None:
    for content in read_kept(name):
        run_target(TARGETS[name], content)


@pytest.mark.parametrize("name", TARGETS)
def test_some_seed_is_read(name: str) -> None:
    if name == "rpm-ndb":
        pytest.skip("the real one is long; its beginning is refused and makes the seed")
    if name == "rpm-bdb" and not any(True for _ in TARGETS[name].seeds()):
        pytest.skip("the shared corpus is not beside this checkout (../shared)")
    assert any(run_target(TARGETS[name], content) for content in TARGETS[name].seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_burst(name: str) -> None:
    dice = random.Random(11)
    known = [one for one in (*TARGETS[name].seeds(), *read_kept(name)) if len(one) <= LONGEST]
    if not known:
        pytest.skip("every known input is long; the long run has them")
    until = time.process_time() + BURST_SECONDS
    for _ in range(BURST_MAX):
        run_target(TARGETS[name], damaged(dice.choice(known), dice))
        if time.process_time() > until:
            break
