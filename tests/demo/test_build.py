"""The appliances of demo and tests are real ones, as the world makes and reads them."""

import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from demo.build import find_appliance, read_sources
from demo.disk import parts_of
from demo.recipe import DEMO, MIB, SMALL, SUITES, digest_of


def test_the_descriptor_comes_first_then_the_manifest_then_the_disk(small_ova: Path) -> None:
    with tarfile.open(small_ova) as archive:
        names = archive.getnames()
    assert [Path(name).suffix for name in names] == [".ovf", ".mf", ".vmdk"]


def test_the_archive_is_plain_ustar(small_ova: Path) -> None:
    with small_ova.open("rb") as file:
        assert file.read(512)[257:265] == b"ustar\x0000"


def test_the_manifest_holds_for_every_other_file(small_ova: Path, tmp_path: Path) -> None:
    with tarfile.open(small_ova) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        archive.extractall(tmp_path)
    manifest = next(tmp_path.glob("*.mf")).read_text()
    sums = re.sub(r"SHA256\((.+)\)= (\w+)", r"\2  \1", manifest)
    subprocess.run(
        ["sha256sum", "--check", "--quiet"], input=sums, text=True, cwd=tmp_path, check=True
    )


def test_a_second_call_builds_nothing(small_ova: Path) -> None:
    before = small_ova.stat().st_mtime_ns
    assert find_appliance("small") == small_ova
    assert small_ova.stat().st_mtime_ns == before


def test_partitions_are_aligned_and_apart() -> None:
    for recipe in (DEMO, SMALL):
        parts = parts_of(recipe)
        assert all(part.offset % MIB == 0 for part in parts)
        ends = [part.offset + part.bytes for part in parts]
        assert all(end <= part.offset for end, part in zip(ends, parts[1:], strict=False))
        assert ends[-1] <= recipe.disk_bytes - 33 * 512


@pytest.mark.parametrize(
    "other",
    [
        lambda: digest_of(replace(SMALL, packages=("zip",)), ["a"], [b"r"]),
        lambda: digest_of(SMALL, ["b"], [b"r"]),
        lambda: digest_of(SMALL, ["a"], [b"another release"]),
    ],
    ids=["packages", "mirror", "release"],
)
def test_what_the_result_depends_on_names_it(other) -> None:
    assert other() != digest_of(SMALL, ["a"], [b"r"])


def test_this_machines_apt_names_the_archive_for_every_suite() -> None:
    sources = read_sources()
    assert set(sources) == set(SUITES)
    assert sources["bookworm"] != sources["bookworm-security"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "demo"])
def test_virt_v2v_accepts_the_appliance(name: str, tmp_path: Path) -> None:
    """It parses the envelope, checks every digest and finds the disk inside the tar."""
    said = subprocess.run(
        ["virt-v2v", "-i", "ova", find_appliance(name), "-o", "null", "--print-source"],
        env={"LIBGUESTFS_BACKEND": "direct", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert f"source name: regild-{name}" in said.stdout
