"""Real package databases, randomly aged: the transaction is apt's own.

The indexes come from the machine's own mirror; without one, or without apt, nothing is asked.
"""

from __future__ import annotations

import itertools
import lzma
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from regild.errors import Unsolvable
from regild.feeds.policy import machine_sources
from regild.model.digest import sha256_of
from regild.plan.libsolv import Libsolv, open_libsolv
from tests.plan.apt_asked import apt_transaction, told
from tests.plan.corpus import Aging, Part, Release

IMAGES = {"bullseye": 67, "bookworm": 67, "trixie": 66}
"""Of each release, that apt accepts."""
FEW = {"bullseye": (6, range(1, 20)), "bookworm": (8, range(20, 40)), "trixie": (6, range(20))}
"""Twenty of them, for each day: how many of a release, and of which; which of them apt rejects
changes with the repositories."""
SLICE = 17
"""Images in one test: some minutes of a processor, nearly all of it apt's."""
PACKED_LIMIT = 64 << 20
REJECTED = "apt rejects it"
"""An image whose packages do not fit together even now: both have to refuse it. It proves little,
is counted apart, and another one takes its place."""
TRIES = 6
"""Of an address; a mirror that hiccups is no answer."""
OTHERS = 1000
"""The first seed of the images that take the place of rejected ones."""


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
            answer = _got(client, f"{top}/InRelease")
            if answer.status_code != 200:
                pytest.skip(f"the mirror has no {suite}")
            stated = answer.text.partition("\n\n")[2]
            release = re.split(r"^(?:MD5Sum|SHA1|SHA256|-----BEGIN)", stated, flags=re.MULTILINE)[0]
            for arch in ("amd64", "i386"):
                packed = _got(client, f"{top}/main/binary-{arch}/Packages.xz")
                assert packed.status_code == 200 and len(packed.content) < PACKED_LIMIT
                path = folder / f"{suite}_{arch}"
                path.write_bytes(content := lzma.decompress(packed.content))
                parts.append(Part(path, area, suite, arch, release, sha256_of(content)))
    return Release(parts)


def _got(client: httpx.Client, address: str) -> httpx.Response:
    """What an address gives, asked again while its server or the way to it fails."""
    for wait in range(TRIES):
        try:
            answer = client.get(address)
            if answer.status_code < 500:
                return answer
        except httpx.TransportError:
            if wait == TRIES - 1:
                raise
        time.sleep(2**wait)
    return answer


def differs(
    release: Release,
    seed: int,
    folder: Path,
    solve: Libsolv,
    ways: tuple[bool, ...] = (False, True),
) -> str:
    """How the transactions for an image differ from apt's, without `autoremove` and with it; empty
    where they do not, `REJECTED` where neither has one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = Aging(release, seed, folder).image()
    for sweeping in ways:
        wanted = apt_transaction(image, folder, sweeping)
        try:
            found = told(solve(replace(image.request, autoremove=sweeping)).moves)
        except Unsolvable:
            found = {"unsolvable"}
        if "unsolvable" in found & wanted:
            return REJECTED
        if found != wanted:
            return f"{seed} {image.mode}{' sweeping' * sweeping}: {sorted(found ^ wanted)[:5]}"
    with open_libsolv() as near:  # the first answer's process has all that is on offer
        again = told(near(replace(image.request, autoremove=ways[-1])).moves)
    return f"{seed} {image.mode} near: {sorted(found ^ again)[:5]}" if again != found else ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is the judge")
@pytest.mark.timeout(1500)
def test_images_of_each_release_change_as_apt_would_change_them(
    tmp_path: Path, solve: Libsolv
) -> None:
    found: list[str] = []
    for code, (wanted, seeds) in FEW.items():
        release = fetched(code, tmp_path)
        each = (differs(release, seed, tmp_path / "w", solve, (False,)) for seed in seeds)
        found += itertools.islice((one for one in each if one != REJECTED), wanted)
    assert len(found) == 20
    assert list(filter(None, found)) == []


@pytest.fixture(scope="module", params=list(IMAGES))
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """One release after the other, each fetched once."""
    return fetched(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is the judge")
@pytest.mark.parametrize("first", range(0, max(IMAGES.values()), SLICE))
def test_two_hundred_images_change_as_apt_would_change_them(
    release: Release,
    first: int,
    tmp_path: Path,
    solve: Libsolv,
    record_property: Callable[[str, object], None],
) -> None:
    last = min(first + SLICE, IMAGES[release.code])
    found: list[str] = []
    for seed in (*range(first, last), *range(OTHERS + first * 10, OTHERS + last * 10)):
        if len(found) - found.count(REJECTED) < last - first:
            found.append(differs(release, seed, tmp_path / "image", solve))
    record_property("worlds", len(found) - found.count(REJECTED))
    record_property("equal", found.count(""))
    record_property("besides that both reject", found.count(REJECTED))
    assert [one for one in found if one not in ("", REJECTED)] == []
    assert found.count("") == last - first
