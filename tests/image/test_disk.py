import os
from pathlib import Path

import pytest

from regild.errors import (
    Malformed,
    MissingFile,
    NotAnArchive,
    NotPermitted,
    Truncated,
    UnsupportedFormat,
)
from regild.image.formats import open_disk
from tests.image.disks import by_extents, noise


def test_what_no_magic_claims_is_a_raw_disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(noise(5000))
    with open_disk(path) as disk:
        assert (disk.format, disk.size) == ("raw", 5000)
        assert disk.read(4990, 10) == noise(5000)[4990:]
        assert disk.bytes_read < 1000


def test_a_sparse_raw_disk_has_extents_where_it_has_blocks(tmp_path):
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(4 << 20)
        file.seek(1 << 20)
        file.write(noise(65536))
    with open_disk(path) as disk:
        assert list(disk.extents()) == [(1 << 20, 65536)]
        assert by_extents(disk) == path.read_bytes()
    with open_disk(path, (1 << 20) + 4096, 1 << 20) as disk:
        assert next(disk.extents()) == (0, 61440)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"conectix", Malformed),
        (b"vhdxfile", Truncated),
        (bytes(64) + b"\x7f\x10\xda\xbe", UnsupportedFormat),
        (b"COWD", UnsupportedFormat),
        (b"\x1f\x8b\x08", Malformed),
        (b"\xfd7zXZ\0", Malformed),
        (b"\x28\xb5\x2f\xfd", Truncated),
        (b"PK\x03\x04", UnsupportedFormat),
        (bytes(257) + b"ustar", NotAnArchive),
        (b"", Truncated),
    ],
)
def test_a_format_that_is_known_and_not_read_is_named(tmp_path, head, error):
    path = tmp_path / "disk"
    path.write_bytes(head and head.ljust(4096, b"\0"))
    with pytest.raises(error), open_disk(path):
        pass


def test_a_missing_file_a_folder_and_a_short_file_are_errors(tmp_path):
    with pytest.raises(MissingFile), open_disk(tmp_path / "none"):
        pass
    with pytest.raises(Malformed, match="folder"), open_disk(tmp_path):
        pass
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "pipe"), (Path("/dev/null"), "device")):
        with pytest.raises(Malformed, match=what), open_disk(path):
            pass
    (tmp_path / "short").write_bytes(b"x" * 100)
    for offset, length in ((0, 101), (101, None), (-1, 5), (50, 51)):
        with pytest.raises(Truncated), open_disk(tmp_path / "short", offset, length):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path):
    (tmp_path / "disk").touch(mode=0)
    with pytest.raises(NotPermitted), open_disk(tmp_path / "disk"):
        pass


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(noise(8192))
    with open_disk(path) as disk:
        os.truncate(path, 5000)
        with pytest.raises(Truncated, match="shorter"):
            disk.read(4096, 4096)
