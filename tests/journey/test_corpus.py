"""Packages with maintainer scripts, upgraded by the record carrier and in a chroot on a mounted
disk: how many end in the same files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.change.guests import Result
from tests.journey.corpus import SECONDS, SUFFIX, batches
from tests.journey.corpus_kept import OWN, Batch, asked, told
from tests.journey.peers import tree_in

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3 * SECONDS)]

SHARE = 0.995
DATABASE = "/var/lib/dpkg/info"


@pytest.mark.parametrize("name", asked())
def test_a_batch_ends_as_on_a_mounted_disk(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    batch = Batch(name)
    for what, figure in batch.settled(lambda: compared(batch, tmp_path)).items():
        record_property(what, figure)


def compared(batch: Batch, work: Path) -> dict[str, int]:
    """Upgrade a batch by both ways; how many packages end in the same files, which must be nearly
    all of them."""
    full, guest = batch.image(), batch.guest()
    other = batch.mounted()
    with guest.job(work) as job:
        changed = guest.apply(job, *full.debs, timeout_seconds=SECONDS)
        result = Result(guest, changed)
        found = told(tree_in(result.volume, OWN))
        owners = owners_in(result)
        result.close()
    assert other.wait() == 0
    expected = batch.expected()
    paths = [one for one in expected.keys() | found.keys() if expected.get(one) != found.get(one)]
    unequal = {owner for path in paths for owner in owners.get(path, {f"nobody ({path})"})}
    status = expected["/var/lib/dpkg/status"]
    assert status == found["/var/lib/dpkg/status"], "dpkg's state differs"
    assert len(full.scripted) - len(unequal) >= SHARE * len(full.scripted), sorted(paths)
    listed = full.scripted & set(batch.names)
    return {
        "packages of the list with scripts": len(listed),
        "others with scripts": len(full.scripted - listed),
        "packages in all": len(full.debs),
        "paths that differ": len(paths),
        f"({', '.join(sorted(unequal)) or 'none'}) differ": len(unequal),
    }


def owners_in(result: Result) -> dict[str, set[str]]:
    """The packages of every path, by dpkg's lists; of lists and scripts themselves too."""
    found: dict[str, set[str]] = {}
    for path in result.paths:
        if path.startswith(f"{DATABASE}/"):
            name = re.sub(r"(:[a-z0-9]+)?\.[a-z0-9]+$", "", path.rpartition("/")[2])
            found.setdefault(path, set()).add(name)
            if path.endswith(".list"):
                for line in result.content(path).decode(errors="surrogateescape").splitlines():
                    found.setdefault(line, set()).add(name)
    return found


def test_the_list_is_long_enough() -> None:
    names = [name for row in batches().values() for name in row]
    assert len(names) == len(set(names)) >= 400
    assert SUFFIX.startswith("+")
