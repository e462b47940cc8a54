import random
import struct

import pytest

from regild.errors import (
    Encrypted,
    ExternalFile,
    Malformed,
    TooLarge,
    Truncated,
    UnsupportedFormat,
)
from regild.image.formats import open_disk
from tests.image.disks import by_extents, content_of, noise, reads_or_refuses, tool, whole

CONTENT = noise(70000) + bytes(3 << 20) + noise(300000, 2) + bytes(1 << 20) + noise(1000, 3)
CONTENT += bytes(-len(CONTENT) % 512)


def convert(folder, *options):
    raw = folder / "disk.raw"
    raw.write_bytes(CONTENT)
    path = folder / "disk.qcow2"
    tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("qcow2"), "-c")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-c",),
        ("-o", "compat=0.10"),
        ("-c", "-o", "compat=0.10"),
        ("-c", "-o", "compression_type=zstd"),
        ("-o", "cluster_size=512"),
        ("-c", "-o", "cluster_size=512"),
        ("-c", "-o", "cluster_size=2M"),
        ("-o", "extended_l2=on,cluster_size=64k"),
        ("-c", "-o", "extended_l2=on,cluster_size=128k"),
        ("-o", "lazy_refcounts=on,preallocation=metadata"),
    ],
    ids=" ".join,
)
def test_every_kind_of_image_reads_as_its_content(tmp_path, options):
    with open_disk(convert(tmp_path, *options)) as disk:
        assert disk.size == len(CONTENT)
        assert disk.read(0, disk.size) == CONTENT
        assert by_extents(disk) == CONTENT


def test_a_cluster_that_was_zeroed_or_discarded_reads_as_zeros(tmp_path):
    path = convert(tmp_path)
    tool("qemu-io", "-c", "write -z 0 64k", path)
    with open_disk(path) as disk:
        assert disk.read(0, 65536) == bytes(65536)
        assert by_extents(disk) == bytes(65536) + CONTENT[65536:]


def test_a_backing_file_by_an_absolute_path_is_refused(tmp_path):
    path = convert(tmp_path)
    over = tmp_path / "over.qcow2"
    tool("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", path, over)
    with pytest.raises(ExternalFile, match="plain name"), open_disk(over):
        pass


def test_an_external_data_file_is_refused(tmp_path):
    path = tmp_path / "disk.qcow2"
    option = f"data_file={tmp_path / 'data.raw'}"
    tool("qemu-img", "create", "-f", "qcow2", "-o", option, path, "1M")
    with pytest.raises(ExternalFile, match="external file"), open_disk(path):
        pass


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (4, struct.pack(">I", 7), UnsupportedFormat),
        (20, struct.pack(">I", 63), Malformed),
        (24, struct.pack(">Q", 1 << 63), TooLarge),
        (24, struct.pack(">Q", 0), Malformed),
        (24, struct.pack(">Q", 1 << 45), Malformed),
        (32, struct.pack(">I", 1), Encrypted),
        (32, struct.pack(">I", 2), Encrypted),
        (36, struct.pack(">I", 0), Malformed),
        (40, struct.pack(">Q", 1 << 60), Truncated),
        (40, struct.pack(">Q", 1), Malformed),
        (72, struct.pack(">Q", 1 << 40), UnsupportedFormat),
        (72, struct.pack(">Q", 2), Malformed),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(tmp_path, packed, at, value, error):
    path = tmp_path / "d.qcow2"
    bad = bytearray(packed.read_bytes())
    bad[at : at + len(value)] = value
    path.write_bytes(bad)
    with pytest.raises(error), open_disk(path) as disk:
        whole(disk)


def test_l2_tables_that_overlap_are_refused(tmp_path):
    path = tmp_path / "d.qcow2"
    tool("qemu-img", "create", "-f", "qcow2", path, "2G")
    tool("qemu-io", "-c", "write 0 64k", "-c", "write 1G 64k", path)
    raw = bytearray(path.read_bytes())
    at = struct.unpack_from(">Q", raw, 40)[0]
    raw[at + 16 : at + 24] = raw[at : at + 8]
    path.write_bytes(raw)
    with pytest.raises(Malformed, match="overlap"), open_disk(path):
        pass


@pytest.mark.parametrize(
    ("option", "cluster", "count"),
    [("", "64k", 4096), ("-c", "2M", 20_000)],
    ids=["plain", "packed"],
)
def test_clusters_that_share_their_place_are_refused(tmp_path, option, cluster, count):
    path = tmp_path / "d.qcow2"
    tool("qemu-img", "create", "-f", "qcow2", "-o", f"cluster_size={cluster}", path, "64G")
    tool("qemu-io", "-c", f"write {option} 0 {cluster}", path)
    raw = bytearray(path.read_bytes())
    (l1,) = struct.unpack_from(">Q", raw, 40)
    table = struct.unpack_from(">Q", raw, l1)[0] & 0x00FFFFFFFFFFFE00
    raw[table : table + count * 8] = raw[table : table + 8] * count
    path.write_bytes(raw)
    with open_disk(path) as disk, pytest.raises(Malformed, match="overlap"):
        list(disk.extents())


def test_a_file_cut_off_anywhere_is_refused(tmp_path, packed):
    good = packed.read_bytes()
    path = tmp_path / "d.qcow2"
    source = random.Random(5)
    for _ in range(50):
        path.write_bytes(good[: source.randrange(4, len(good) - 512)])
        assert reads_or_refuses(path, whole)


def test_changed_bytes_give_typed_errors_only(tmp_path, packed):
    good = packed.read_bytes()
    path = tmp_path / "d.qcow2"
    source = random.Random(3)
    l1 = struct.unpack_from(">Q", good, 40)[0]
    l2 = struct.unpack_from(">Q", good, l1)[0] & 0x00FFFFFFFFFFFE00
    places = [*range(4, 112), *range(l1, l1 + 16), *range(l2, l2 + 640)]
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(source.randrange(1, 5)):
            bad[source.choice(places)] = source.choice((0, 1, 2, 64, 127, 128, 255))
        path.write_bytes(bad)
        reads_or_refuses(path, whole)


def test_the_whole_content_is_the_same_as_through_a_window(tmp_path, packed):
    inside = packed.read_bytes()
    path = tmp_path / "disk.bin"
    path.write_bytes(b"z" * 777 + inside)
    with open_disk(path, 777) as disk:
        assert disk.read(0, disk.size) == content_of(packed) == CONTENT
