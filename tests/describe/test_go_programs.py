"""Go programs: a real one of Debian's, one of an older Go by its own structures, and damage."""

import contextlib
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.describe.go_programs import MAGIC, read_go
from regild.describe.reader import describe_guest
from regild.errors import RegildError
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.describe.guests import FolderTree, guest
from tests.image.disks import tool

REAL = Path("/usr/sbin/gosu")
MODULES = (
    "path\tcommand/one\nmod\texample.org/one\tv1.2.3\th1:x=\ndep\tgolang.org/x/sys\tv0.1.0\th1:y=\n"
    "dep\texample.org/old\tv1.0.0\n=>\texample.org/new\tv1.5.0\th1:z=\n"
)
FRAME = bytes(range(16))


def elf(sections):
    """A 64-bit ELF file of nothing but sections: (name, address, content)."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _, _ in sections) + b".shstrtab\0"
    body, rows, at = bytearray(), [struct.pack("<IIQQQQIIQQ", *[0] * 10)], 64
    for name, address, content in (*sections, (".shstrtab", 0, names)):
        place = names.index(name.encode() + b"\0")
        row = (place, 1, 0, address, at + len(body), len(content), 0, 0, 1, 0)
        rows.append(struct.pack("<IIQQQQIIQQ", *row))
        body += content
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 0, at + len(body), 0, 64, 0, 0,
        64, len(rows), len(rows) - 1,
    )  # fmt: skip
    return bytes(head + body + b"".join(rows))


def counted(content):
    length, out = len(content), bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes((length,)) + content


def program(modules=MODULES, version="go1.22.3"):
    text = FRAME + modules.encode() + FRAME
    block = (MAGIC + b"\x08\x02").ljust(32, b"\0") + counted(version.encode()) + counted(text)
    return elf([(".text", 0x1000, b"code"), (".go.buildinfo", 0x2000, block)])


def found(content):
    return [(one.name, one.version) for one in read_go(lambda at, n: content[at : at + n], "/x")]


MADE = [
    ("stdlib", "1.22.3"),
    ("example.org/one", "v1.2.3"),
    ("golang.org/x/sys", "v0.1.0"),
    ("example.org/new", "v1.5.0"),
]


def test_modules_and_the_go_that_built_them_are_read():
    assert found(program()) == MADE


def test_texts_that_an_older_go_points_at_are_read():
    text, version = FRAME + MODULES.encode() + FRAME, b"go1.17.13"
    at = 0x3000
    pairs = struct.pack("<4Q", at + 32, len(version), at + 32 + len(version), len(text))
    block = MAGIC + b"\x08\x00" + struct.pack("<2Q", at, at + 16)
    content = elf([(".go.buildinfo", 0x2000, block), (".data", at, pairs + version + text)])
    assert found(content) == [("stdlib", "1.17.13"), *MADE[1:]]


@pytest.mark.skipif(not REAL.exists(), reason="gosu is not installed here")
def test_a_real_program_says_the_go_that_built_it():
    content = REAL.read_bytes()
    (stdlib,) = found(content)  # Debian builds without modules
    said = subprocess.run(["strings", REAL], capture_output=True, text=True, check=True).stdout
    assert stdlib[0] == "stdlib"
    assert f"go{stdlib[1]}" in said.split()


def test_a_program_in_a_guest_is_read_by_pieces(tmp_path):
    place = tmp_path / "tree/usr/local/bin/tool"
    place.parent.mkdir(parents=True)
    place.write_bytes(program() + bytes(300 << 10))
    place.chmod(0o755)
    (tmp_path / "tree/etc").mkdir()
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    image = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / "tree", image, "8M")
    with open_disk(image) as disk, open_guest(disk) as opened:
        packages = describe_guest(opened).packages
        assert {(one.name, one.version) for one in packages} == set(MADE)
    own = describe_guest(guest(FolderTree(tmp_path / "tree")))
    assert own.packages == packages
    assert not describe_guest(guest(FolderTree(tmp_path / "tree")), languages=False).packages


@settings(max_examples=200)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=12))
def test_any_damage_is_read_or_refused(at, piece):
    content = bytearray(program())
    at %= len(content)
    content[at : at + len(piece)] = piece
    with contextlib.suppress(RegildError):
        found(bytes(content))
