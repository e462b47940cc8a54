"""Packages with maintainer scripts, upgraded by the record carrier and in a chroot on a mounted
disk: how many end in the same files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.change.apply import DiskFile
from tests.change.guests import Guest, Result, parts_in
from tests.journey.corpus import SECONDS, SUFFIX, batches, build_image, upgrade_mounted
from tests.journey.peers import mounted, tree_in, tree_of

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3 * SECONDS)]

OWN = (
    "/var/log/",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/lock",
    "/tmp/",
    "/run/",
    "/dev/",
    "/etc/machine-id",
    "/etc/ssh/ssh_host_",
)
"""Logs, caches, what belongs to a running machine, and the image's own identity, which it keeps."""
SHARE = 0.995
DATABASE = "/var/lib/dpkg/info"


@pytest.mark.parametrize("batch", batches())
def test_a_batch_ends_as_on_a_mounted_disk(
    batch: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = batches()[batch]
    full = build_image(names, tmp_path)
    place = DiskFile(full.disk, 0, full.disk.stat().st_size)
    guest = Guest(place, parts_in(place))
    with guest.job(tmp_path) as job:
        changed = guest.apply(job, *full.debs, timeout_seconds=SECONDS)
        result = Result(guest, changed)
        found = tree_in(result.volume, OWN)
        owners = owners_in(result)
        result.close()
        with mounted(full.disk, tmp_path / "mount"):
            repository = job.path / "repository"
            upgrade_mounted(tmp_path / "mount", repository, full.debs, tmp_path / "chroot.log")
    expected = tree_of(full.disk, OWN)
    paths = [one for one in expected.keys() | found.keys() if expected.get(one) != found.get(one)]
    unequal = {owner for path in paths for owner in owners.get(path, {f"nobody ({path})"})}
    listed = full.scripted & set(names)
    record_property("packages of the list with scripts", len(listed))
    record_property("others with scripts", len(full.scripted - listed))
    record_property("packages in all", len(full.debs))
    record_property("paths that differ", len(paths))
    record_property(f"({', '.join(sorted(unequal)) or 'none'}) differ", len(unequal))
    status = expected["/var/lib/dpkg/status"]
    assert status == found["/var/lib/dpkg/status"], "dpkg's state differs"
    assert len(full.scripted) - len(unequal) >= SHARE * len(full.scripted), sorted(paths)


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
