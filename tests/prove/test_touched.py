"""What differs from the disk as it was is found where the inodes themselves did not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.image.ext import Inode
from regild.model.json import from_json, to_json
from regild.model.plan import Difference
from regild.model.progress import Silent
from regild.prove.touched import Area
from regild.prove.touched import main as compare
from tests.image.ext_images import make_image, opened


@pytest.fixture(params=["ext4 1k, no checksums", "ext3"])  # no sums that tell of it before
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "long").write_bytes(b"a" * 90_000)
    (source / "other").write_bytes(b"b" * 90_000)
    for number in range(200):
        (source / f"folder/{number:03} of two hundred").write_bytes(b"x")
    return make_image(tmp_path / "image", request.param, source)


def differences(image: Path, *known: str) -> dict[str, str]:
    with image.open("rb") as file:
        area = Area("/", ((0, image.stat().st_size),))
        answer = compare(
            {
                "disk": file.fileno(),
                "where": "test",
                "offset": 0,
                "bytes": image.stat().st_size,
                "areas": to_json((area,), 0),
                "overlay": str(image.with_suffix(".overlay")),
                "known": list(known),
                "scratch": str(image.with_suffix(".metadata")),
            },
            Silent(),
        )
    found = from_json(tuple[Difference, ...], answer["touched"])
    return {one.what: one.observed for one in found}


def test_nothing_differs_where_nothing_was_written(image: Path) -> None:
    with opened(image):
        pass
    assert differences(image) == {}


def test_blocks_that_hold_the_same_again_make_no_difference(image: Path) -> None:
    with opened(image) as changing:
        held = changing.overlay.read(0, 1 << 20)
        changing.overlay.write(0, held)
    assert differences(image) == {}


def test_a_name_is_found_in_a_folder_whose_inode_is_as_before(image: Path) -> None:
    with opened(image) as changing:
        volume = changing.volume
        folder = dict(volume.walk())["/folder"]
        run = volume.read_runs(folder)[0]
        block = volume.device.read(run.physical, volume.block_bytes)
        name = next(n for n in (f"{n:03} of two".encode() for n in range(200)) if n in block)
        place = run.physical + block.index(name)
        changing.overlay.write(place, b"new")
    found = differences(image)
    assert found["/folder/new of two hundred"] == "added"
    assert [row for row in found.values() if row == "absent"] == ["absent"]


@pytest.mark.parametrize("image", ["ext3", "ext3 1k"], indirect=True)
def test_a_file_is_found_of_which_only_the_block_map_changed(image: Path) -> None:
    with opened(image) as changing:
        volume = changing.volume
        paths = dict(volume.walk())
        long, other = paths["/long"], paths["/other"]
        size = volume.block_bytes
        at = int.from_bytes(long.block[48:52], "little") * size
        aim = volume.read_runs(other)[0].physical // size
        changing.overlay.write(at, aim.to_bytes(4, "little"))
        assert changing.volume.read_inode(long.number) == long
    assert set(differences(image)) == {"/long"}
    assert differences(image, "/long") == {}


def mapped(flags: int, block: bytes) -> bool:
    raw = bytes(40) + block.ljust(88, b"\0")
    return Inode(1, 0, 0, 0, 0, 0, 1, flags, False, 0, raw).is_mapped_inside


def test_an_inode_knows_whether_a_block_map_is_beside_it() -> None:
    extents, inline = 0x80000, 0x10000000
    assert mapped(extents, b"\x0a\xf3\x01\0\x04\0\0\0") is True
    assert mapped(extents, b"\x0a\xf3\x01\0\x04\0\x01\0") is False
    assert mapped(0, b"\x01" * 48) is True
    assert mapped(0, b"\x01" * 52) is False
    assert mapped(0, bytes(56) + b"\x01") is False
    assert mapped(inline, b"\x01" * 60) is True
