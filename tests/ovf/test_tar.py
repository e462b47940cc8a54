from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import Malformed, RegildError, TooLarge, UnsafeName
from regild.ovf import tar
from tests.ovf.samples import write_ova


def test_w5_headers_are_plain_ustar_without_owner_and_with_a_fixed_time(tmp_path: Path) -> None:
    path = write_ova(tmp_path / "x.ova", {"a.ovf": b"1", "a.mf": b"", "d": b"x" * 1000})
    assert path.stat().st_size % tar.RECORD == 0
    with tarfile.open(path, "r:") as archive:
        members = archive.getmembers()
        assert [(m.name, m.size, m.mode, m.uid, m.gid, m.mtime) for m in members] == [
            ("a.ovf", 1, 0o644, 0, 0, tar.MTIME),
            ("a.mf", 0, 0o644, 0, 0, tar.MTIME),
            ("d", 1000, 0o644, 0, 0, tar.MTIME),
        ]
        assert all(m.type == tarfile.REGTYPE for m in members)
        assert not archive.pax_headers
        content = archive.extractfile("d")
        assert content is not None
        assert content.read() == b"x" * 1000
    assert path.read_bytes()[257:265] == b"ustar\x0000"


def test_w5_sizes_of_eight_gibibytes_are_base_256() -> None:
    for size in (tar.OCTAL_LIMIT - 1, tar.OCTAL_LIMIT, 1 << 50):
        head = tar.header("disk.vmdk", size)
        assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").size == size
        assert (head[124] == 0x80) == (size >= tar.OCTAL_LIMIT)


def test_base_256_sizes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    size = 9 << 30
    with path.open("wb") as file:
        file.write(tar.header("big", size))
        file.truncate(tar.BLOCK + size)
        file.seek(tar.BLOCK + size)
        file.write(tar.header("small", 3) + b"abc")
        file.truncate(tar.BLOCK + size + 2 * tar.BLOCK + 1024)
    with path.open("rb") as file:
        assert list(tar.read_places(file, "x")) == [
            tar.Place("big", 512, size),
            tar.Place("small", size + 1024, 3),
        ]


def test_w5_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsafeName):
        tar.header("x" * 101, 1)


def archive(*members: tuple[str, bytes, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    for name, kind, content in members:
        head = bytearray(tar.header(name, len(content)))
        head[156:157] = kind
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        buffer.write(bytes(head) + content + b"\0" * (-len(content) % 512))
    buffer.write(bytes(1024))
    return buffer


@pytest.mark.parametrize(
    "record",
    [
        b"99 path=x\n",
        b"x",
        b"9 path=xx\n\n",
        b"0 \n",
        b"12 size=-1\n",
        b"26 GNU.sparse.major=1000\n",
    ],
)
def test_damaged_pax_headers_are_refused(record: bytes) -> None:
    with pytest.raises(Malformed):
        list(tar.read_places(archive(("p", b"x", record), ("a", b"0", b"")), "x"))


def test_pax_path_and_size_are_used() -> None:
    found = list(
        tar.read_places(
            archive(("p", b"x", b"13 path=long\n" + b"10 size=3\n"), ("a", b"0", b"abc")), "x"
        )
    )
    assert [(place.name, place.bytes) for place in found] == [("long", 3)]


def test_extensions_and_members_are_bounded() -> None:
    with pytest.raises(TooLarge):
        list(tar.read_places(archive(("p", b"x", b"0" * 70_000), ("a", b"0", b"")), "x"))
    with pytest.raises(TooLarge):
        list(tar.read_places(archive(*[("a", b"0", b"")] * (tar.MAX_MEMBERS + 1)), "x"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 511), st.binary(min_size=1, max_size=20))
def test_damage_never_escapes_as_anything_but_an_error_of_ours(
    content: bytes, at: int, damage: bytes
) -> None:
    buffer = archive(("p", b"x", b"13 path=long\n"), ("a", b"0", content), ("b", b"L", b"x"))
    whole = bytearray(buffer.getvalue())
    whole[at : at + len(damage)] = damage
    try:
        list(tar.read_places(io.BytesIO(bytes(whole)), "x"))
    except RegildError as error:
        assert str(error)
