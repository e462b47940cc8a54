import random
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import (
    ExternalFile,
    Malformed,
    MissingFile,
    TooLarge,
    Truncated,
    UnsupportedFormat,
)
from regild.image.formats import open_disk
from tests.image.disks import (
    by_extents,
    content_of,
    descriptor,
    noise,
    reads_or_refuses,
    tool,
    whole,
    write_vmdk,
)

GRAIN = 65536
CONTENT = noise(GRAIN) + bytes(GRAIN * 600) + noise(GRAIN * 2, 2) + bytes(GRAIN) + noise(700, 3)
CONTENT += bytes(-len(CONTENT) % 512)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return write_vmdk(tmp_path_factory.mktemp("vmdk") / "disk.vmdk", CONTENT)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"footer": False},
        {"flags": 3},
        {"grain": 8},
        {"grain": 16, "flags": 3},
        {"grain": 2048},
        {"flags": 0x30001, "pack": lambda piece: zlib.compress(piece, 0)},
    ],
    ids=["footer", "header", "sparse", "4K", "8K-sparse", "1M", "stored"],
)
def test_every_kind_of_extent_reads_as_its_content(tmp_path, how):
    path = write_vmdk(tmp_path / "disk.vmdk", CONTENT, **how)
    with open_disk(path) as disk:
        assert disk.size == len(CONTENT)
        assert disk.format == ("vmdk-sparse" if how.get("flags") == 3 else "vmdk-stream")
        assert disk.read(0, disk.size) == CONTENT
        assert by_extents(disk) == CONTENT
        assert sum(length for _at, length in disk.extents()) <= len(CONTENT)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(CONTENT)), length=st.integers(0, 3 * GRAIN))
def test_any_part_reads_as_that_part(stream, at, length):
    length = min(length, len(CONTENT) - at)
    with open_disk(stream) as disk:
        assert disk.read(at, length) == CONTENT[at : at + length]


def test_it_is_read_in_place_inside_of_another_file(tmp_path, stream):
    inside = stream.read_bytes()
    path = tmp_path / "disk.ova"
    path.write_bytes(b"x" * 1536 + inside + b"y" * 1024)
    with open_disk(path, 1536, len(inside)) as disk:
        assert disk.read(0, disk.size) == CONTENT


def test_a_small_read_takes_one_grain_from_the_file_once(stream):
    with open_disk(stream) as disk:
        before = disk.bytes_read
        disk.read(601 * GRAIN, 10)
        taken = disk.bytes_read - before
        assert taken < GRAIN + 4096
        disk.read(601 * GRAIN + 5000, 4096)
        assert disk.bytes_read - before == taken


def test_a_grain_whose_end_of_stream_is_missing_is_still_read(tmp_path):
    path = write_vmdk(tmp_path / "d.vmdk", CONTENT, pack=lambda piece: zlib.compress(piece)[:-4])
    assert content_of(path) == CONTENT


def test_zeroed_grains_are_holes(tmp_path):
    path = write_vmdk(tmp_path / "d.vmdk", noise(2 * GRAIN), flags=7)
    raw = bytearray(path.read_bytes())
    table = raw.index(struct.pack("<2I", 128, 256))
    raw[table : table + 4] = struct.pack("<I", 1)
    path.write_bytes(raw)
    with open_disk(path) as disk:
        assert disk.read(0, GRAIN) == bytes(GRAIN)
        assert list(disk.extents()) == [(GRAIN, GRAIN)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (descriptor(8, 'SPARSE "d.vmdk"', "parentCID=12345678"), ExternalFile),
        (descriptor(8, 'SPARSE "d.vmdk"', 'parentFileNameHint="/base.vmdk"'), ExternalFile),
        (descriptor(8, 'SPARSE "d.vmdk"', 'createType="twoGbMaxExtentSparse"'), ExternalFile),
        (descriptor(8, 'FLAT "d-flat.vmdk" 0'), ExternalFile),
        (descriptor(8, 'SPARSE "../../etc/shadow"'), ExternalFile),
        (descriptor(8, 'SPARSE "C:\\\\secret"'), ExternalFile),
        (descriptor(8) + b'\nRW 8 SPARSE "b.vmdk"', ExternalFile),
        (descriptor(8, 'VMFSRDM "/dev/sda"'), ExternalFile),
    ],
)
def test_a_disk_that_names_another_file_is_refused(tmp_path, text, error):
    path = write_vmdk(tmp_path / "disk.vmdk", CONTENT, text=text)
    with pytest.raises(error), open_disk(path):
        pass


def test_a_descriptor_file_alone_is_refused(tmp_path):
    path = tmp_path / "disk.vmdk"
    more = ("parentCID=ffffffff", 'createType="monolithicFlat"')
    path.write_bytes(descriptor(8, 'FLAT "disk-flat.vmdk" 0', *more))
    with pytest.raises(MissingFile), open_disk(path):
        pass


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"capacity": 1 << 54}, TooLarge),
        ({"capacity": (1 << 63)}, TooLarge),
        ({"capacity": 0}, Malformed),
        ({"capacity": 1 << 36}, Truncated),
        ({"grain": 0}, UnsupportedFormat),
        ({"grain": 100}, UnsupportedFormat),
        ({"grain": 1 << 40}, UnsupportedFormat),
        ({"entries": 0}, UnsupportedFormat),
        ({"entries": 1 << 31}, UnsupportedFormat),
        ({"descriptor": 1 << 40}, TooLarge),
        ({"directory_at": 1 << 50}, Truncated),
        ({"directory_at": 0}, Malformed),
        ({"version": 9}, UnsupportedFormat),
        ({"compression": 2}, UnsupportedFormat),
        ({"flags": 0x10001}, UnsupportedFormat),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(tmp_path, change, error):
    path = write_vmdk(
        tmp_path / "d.vmdk", CONTENT, footer=False, change=lambda header: replace(header, **change)
    )
    with pytest.raises(error), open_disk(path) as disk:
        whole(disk)


def test_a_transfer_as_text_is_noticed(tmp_path, stream):
    path = tmp_path / "d.vmdk"
    path.write_bytes(stream.read_bytes().replace(b"\r\n", b"\n"))
    with pytest.raises(Malformed, match="transfer as text"), open_disk(path):
        pass


@pytest.mark.parametrize(
    ("pack", "why"),
    [
        (lambda piece: zlib.compress(piece + bytes(1 << 20)), "more than"),
        (lambda piece: zlib.compress(piece[:-1]), "needed"),
        (lambda piece: b"not deflate at all", "does not inflate"),
        (lambda piece: zlib.compress(piece) + bytes(1 << 18), "takes"),
    ],
    ids=["bomb", "short", "noise", "long"],
)
def test_a_grain_that_inflates_to_something_else_is_refused(tmp_path, pack, why):
    path = write_vmdk(tmp_path / "d.vmdk", CONTENT, pack=pack)
    with open_disk(path) as disk, pytest.raises(Malformed, match=why):
        disk.read(0, GRAIN)


def test_a_grain_of_another_place_is_refused(tmp_path):
    path = write_vmdk(tmp_path / "d.vmdk", CONTENT, marker_of=lambda sector: sector + 128)
    with open_disk(path) as disk, pytest.raises(Malformed, match="not where it should"):
        disk.read(0, 1)


def test_tables_that_overlap_are_refused(tmp_path):
    path = write_vmdk(tmp_path / "d.vmdk", noise(GRAIN) * 2 + bytes(GRAIN * 600), footer=False)
    raw = bytearray(path.read_bytes())
    directory = len(raw) - 512
    raw[directory + 4 : directory + 8] = raw[directory : directory + 4]
    path.write_bytes(raw)
    with pytest.raises(Malformed, match="overlap"), open_disk(path):
        pass


def test_more_grains_than_the_file_can_hold_are_refused(tmp_path):
    path = write_vmdk(tmp_path / "d.vmdk", noise(GRAIN) + bytes(GRAIN * 511), footer=False)
    raw = bytearray(path.read_bytes())
    place = struct.pack("<I", 128)
    table = raw.index(place + bytes(508))
    raw[table : table + 2048] = place * 512
    path.write_bytes(raw)
    with open_disk(path) as disk, pytest.raises(Malformed, match="overlap"):
        list(disk.extents())


def test_a_file_cut_off_anywhere_is_refused(tmp_path, stream):
    good = stream.read_bytes()
    path = tmp_path / "d.vmdk"
    source = random.Random(7)
    for _ in range(50):
        path.write_bytes(good[: source.randrange(len(good))])
        if reads_or_refuses(path, whole) == "":
            # Cut within the magic number it is a raw disk of a few bytes, which holds no guest.
            assert path.stat().st_size < 4


def test_a_header_with_changed_bytes_gives_typed_errors_only(tmp_path, stream):
    good = stream.read_bytes()
    path = tmp_path / "d.vmdk"
    source = random.Random(11)
    interesting = (0, 1, 127, 128, 255)
    places = [*range(4, 80), *range(512, 900), *range(len(good) - 5120, len(good))]
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(source.randrange(1, 5)):
            bad[source.choice(places)] = source.choice(interesting)
        path.write_bytes(bad)
        reads_or_refuses(path, whole)


@pytest.mark.parametrize("subformat", ["streamOptimized", "monolithicSparse"])
def test_what_qemu_writes_is_read_exactly(tmp_path, subformat):
    raw = tmp_path / "disk.raw"
    raw.write_bytes(CONTENT)
    path = tmp_path / "disk.vmdk"
    tool(
        "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", raw, path
    )
    assert content_of(path) == CONTENT
