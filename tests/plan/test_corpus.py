"""Real package databases, randomly aged: the transaction is apt's own.

The indexes come from the machine's own mirror; without one, or without apt, nothing is asked.
"""

from __future__ import annotations

import lzma
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from regild.errors import RegildError
from regild.feeds.policy import machine_sources
from regild.plan.libsolv import Libsolv, open_libsolv
from tests.plan.corpus import Aging, Part, Release, apt_transaction, told

VERSIONS = {"bullseye": 67, "bookworm": 67, "trixie": 66}
"""Images of each release."""
PACKED_LIMIT = 64 << 20


def fetched(code: str, folder: Path) -> Release:
    """A release's indexes, from the machine's own mirror."""
    base = next((uri for uri in machine_sources() if uri.endswith("/debian/")), "")
    if not base:
        pytest.skip("this machine's apt has no mirror of Debian")
    parts = []
    with httpx.Client(timeout=60, follow_redirects=True) as client:
        for area, suite in (
            ("debian", code),
            ("debian", f"{code}-updates"),
            ("debian-security", f"{code}-security"),
        ):
            top = f"{base.removesuffix('debian/')}{area}/dists/{suite}"
            answer = client.get(f"{top}/InRelease")
            if answer.status_code != 200:
                pytest.skip(f"the mirror has no {suite}")
            stated = answer.text.partition("\n\n")[2]
            release = re.split(r"^(?:MD5Sum|SHA1|SHA256|-----BEGIN)", stated, flags=re.MULTILINE)[0]
            for arch in ("amd64", "i386"):
                packed = client.get(f"{top}/main/binary-{arch}/Packages.xz")
                assert packed.status_code == 200 and len(packed.content) < PACKED_LIMIT
                path = folder / f"{suite}_{arch}"
                path.write_bytes(lzma.decompress(packed.content))
                parts.append(Part(path, area, suite, arch, release))
    return Release(parts)


@pytest.fixture(scope="module")
def solve() -> Iterator[Libsolv]:
    with open_libsolv() as solver:
        yield solver


def differs(release: Release, seed: int, folder: Path, solve: Libsolv) -> str:
    """How the transaction for an image differs from apt's; empty where it does not."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = Aging(release, seed, folder).image()
    wanted = apt_transaction(image, folder)
    try:
        found = told(solve(image.request).moves)
    except RegildError:
        return "" if "unsolvable" in wanted else f"{seed}: only apt finds a way"
    return "" if found == wanted else f"{seed}: {sorted(found ^ wanted)[:5]}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is the judge")
@pytest.mark.timeout(1500)
def test_images_of_one_release_change_as_apt_would_change_them(
    tmp_path: Path, solve: Libsolv
) -> None:
    release = fetched("bookworm", tmp_path)
    assert [d for seed in range(20) if (d := differs(release, seed, tmp_path / "w", solve))] == []


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is the judge")
@pytest.mark.parametrize("code", list(VERSIONS))
def test_two_hundred_images_change_as_apt_would_change_them(
    code: str, tmp_path: Path, solve: Libsolv
) -> None:
    release = fetched(code, tmp_path)
    found = (differs(release, seed, tmp_path / "w", solve) for seed in range(VERSIONS[code]))
    assert list(filter(None, found)) == []
