"""A real Alpine, booted for its changes: its own kernel and initial RAM disk, and the same files as
without booting it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.change.apk_guests import Golden, find_golden
from tests.journey.machine import Traces, digest, settled
from tests.journey.peers import differences, tree_of
from tests.journey.test_apk import OWN, Trip

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3600)]

HELD = {
    "every changed path was read back from the image",
    "no script or trigger failed",
    "every file of the plan's packages is as its package file has it",
    "nothing differs but what is on record",
    "e2fsck finds the filesystems clean",
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return find_golden()


@pytest.mark.parametrize("of", ["few", "all"])
def test_record_and_boot_give_the_same_files(
    of: str, golden: Golden, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    trip = Trip(golden, tmp_path, golden.few if of == "few" else None)
    before, trees = digest(trip.image), []
    for carrier in ("record", "boot"):
        trip.out = tmp_path / f"{carrier}.raw"
        receipt = trip.update("--carrier", carrier, "--timeout", "3000")["receipt"]
        assert isinstance(receipt, dict)
        assert receipt["carrier"] == carrier
        assert set(receipt["checks"]) >= HELD
        trees.append(tree_of(trip.out, OWN))
    assert differences(*trees) == []
    assert digest(trip.image) == before
    assert machines_gone() and settled(tmp_path) == Traces((), (), ())
