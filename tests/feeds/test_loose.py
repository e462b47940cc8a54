"""A package file without compression holds what it held, is made once, and is taken by its digest
alone."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from regild.errors import Truncated
from regild.feeds.cache import Cache
from regild.feeds.loose import LOOSE_SUFFIX, MAKING_SUFFIX, loosen, loosen_plan
from regild.feeds.shipped import read_shipped
from regild.host.files import digest_file
from regild.model.digest import Digest
from tests.change.guests import Deb, build_deb, plan_of

LONG = b"a file that packs well\n" * 9999


def packed(folder: Path, kind: str) -> Deb:
    """A package whose data archive is compressed in a given way."""
    folder.mkdir()
    deb = build_deb(folder, "zip", files={"/usr/bin/zip": LONG, "/etc/odd \xe9": b"1"})
    line = ["dpkg-deb", "--root-owner-group", f"-Z{kind}", "--build", folder / "zip_1.0", deb.path]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return deb


@pytest.mark.parametrize("kind", ["xz", "gzip", "zstd", "none"])
def test_dpkg_unpacks_it_as_it_unpacks_the_published_one(tmp_path: Path, kind: str) -> None:
    deb = packed(tmp_path / "made", kind)
    loose = tmp_path / "loose.deb"
    with deb.path.open("rb") as source, loose.open("w+b") as out:
        loosen(source, deb.path, out)
    assert LONG in loose.read_bytes()
    assert read_shipped(loose, "zip", "all") == read_shipped(deb.path, "zip", "all")
    for asked in (["--field"], ["--contents"], ["--fsys-tarfile"]):
        told = [
            subprocess.run(["dpkg-deb", *asked, one], check=True, capture_output=True).stdout
            for one in (deb.path, loose)
        ]
        assert told[0] == told[1]
    ar = subprocess.run(["ar", "t", loose], check=True, capture_output=True).stdout.split()
    assert (ar[0], ar[2]) == (b"debian-binary", b"data.tar")


def test_a_plan_is_loosened_once_and_anew_where_the_file_was_damaged(tmp_path: Path) -> None:
    deb, cache = packed(tmp_path / "made", "xz"), tmp_path / "cache"
    was = deb.archive.digest
    given, names, places = loosen_plan(plan_of(deb), {was: deb.path}, cache)
    (step,) = given.steps
    assert step.archive is not None and names == {was: step.archive.digest} and names[was] != was
    place = places[step.archive.digest]
    assert (digest_file(place), place.stat().st_size) == (step.archive.digest, step.archive.bytes)
    assert not Cache(cache).place(was, MAKING_SUFFIX).exists()
    gone = {was: tmp_path / "gone"}
    assert loosen_plan(plan_of(deb), gone, cache) == (given, names, places)
    place.write_bytes(place.read_bytes().replace(b"packs", b"picks"))
    assert loosen_plan(plan_of(deb), {was: deb.path}, cache) == (given, names, places)
    assert digest_file(place) == step.archive.digest
    assert Cache(cache).place(was, LOOSE_SUFFIX).exists()


def test_what_cannot_be_unpacked_here_is_given_as_it_is(tmp_path: Path) -> None:
    deb, cache = packed(tmp_path / "made", "xz"), tmp_path / "cache"
    deb.path.write_bytes(deb.path.read_bytes()[:-40])
    with deb.path.open("rb") as source, pytest.raises(Truncated):
        loosen(source, deb.path, io.BytesIO())
    was = deb.archive.digest
    given, names, places = loosen_plan(plan_of(deb), {was: deb.path}, cache)
    assert (given, names, places) == (plan_of(deb), {was: was}, {was: deb.path})


def test_a_plan_without_package_files_stays_as_it_is(tmp_path: Path) -> None:
    plan = plan_of(packed(tmp_path / "made", "xz"))
    nothing: dict[Digest, Path] = {}
    assert loosen_plan(plan, nothing, tmp_path / "cache") == (plan, {}, {})
