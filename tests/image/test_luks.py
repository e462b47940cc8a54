"""LUKS with a key: all bytes as cryptsetup wrote them; every refusal typed and in one sentence."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from regild.errors import (
    Encrypted,
    Malformed,
    RegildError,
    TooLarge,
    UnsupportedFormat,
    UsageError,
    WrongKey,
)
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.keys import NO_KEYS, Keys, read_keys
from regild.image.luks import LuksDisk, joined_stripes, unlocked
from regild.image.luks_header import BINARY_BYTES, read_header
from tests.image.disks import MemoryDisk, tool
from tests.image.guests import FILES, Part, disk_of, volume
from tests.image.luks_volumes import KEY, MIB, QUICK, SLOW, encrypted, first_version

RIGHT = Keys((KEY,))
ROOT = Part(files=FILES, mebibytes=8)


def plain_of(path: Path, keys: Keys = RIGHT) -> bytes:
    with open_disk(path) as disk:
        inner = unlocked(disk, 0, disk.size, keys, "it")
        return inner.read(0, inner.size)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volume(tmp_path_factory.mktemp("luks") / "root", ROOT)


@pytest.fixture(scope="module")
def locked(plain: Path) -> Path:
    return encrypted(plain)


@pytest.mark.parametrize(
    ("sector", "options"),
    [
        (512, ()),
        (1024, (*QUICK, "--pbkdf", "argon2i")),
        (512, (*SLOW, "--hash", "sha512")),
        (512, (*QUICK, "--key-size", "256")),
    ],
)
def test_every_byte_is_as_it_was(tmp_path: Path, sector: int, options: tuple[str, ...]) -> None:
    plain = volume(tmp_path / "root", ROOT)
    made = encrypted(plain, *options, sector=sector)
    content = plain.read_bytes()
    found = plain_of(made)
    assert found[: len(content)] == content
    assert len(found) >= len(content)


@pytest.mark.parametrize("options", [("-s", "512"), ("-s", "256", "--hash", "sha512")])
def test_luks1_is_read_too(tmp_path: Path, options: tuple[str, ...]) -> None:
    plain = volume(tmp_path / "root", ROOT)
    assert plain_of(first_version(plain, *options)) == plain.read_bytes()


def test_sectors_of_4096_bytes(tmp_path: Path) -> None:
    plain = tmp_path / "root"
    folder = tmp_path / "tree"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text("ID=debian\n")
    plain.write_bytes(bytes(8 * MIB))
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", folder, plain)
    made = encrypted(plain, sector=4096)
    assert plain_of(made)[: 8 * MIB] == plain.read_bytes()


def test_any_part_is_the_part_of_the_whole(locked: Path, plain: Path) -> None:
    content = plain.read_bytes()
    chosen = random.Random(4)
    with open_disk(locked) as disk:
        inner = unlocked(disk, 0, disk.size, RIGHT, "it")
        for _ in range(100):
            offset = chosen.randrange(len(content) - 5000)
            length = chosen.choice([0, 1, 511, 512, 513, 4096, 5000])
            assert inner.read(offset, length) == content[offset : offset + length]


def test_the_volume_key_itself_opens_it(tmp_path: Path, locked: Path, plain: Path) -> None:
    secret = tmp_path / "key"
    secret.write_bytes(KEY)
    file = tmp_path / "volume.key"
    tool(
        *("cryptsetup", "luksDump", "-q", "--dump-volume-key", "--volume-key-file", file),
        *("--key-file", secret, locked),
    )
    keys = read_keys([file])
    assert plain_of(locked, keys)[: plain.stat().st_size] == plain.read_bytes()


def test_a_line_end_behind_a_passphrase_is_forgiven(locked: Path) -> None:
    assert plain_of(locked, Keys((KEY + b"\n",))) == plain_of(locked)


def test_any_of_several_keyslots_and_keys_opens_it(tmp_path: Path, locked: Path) -> None:
    made = tmp_path / "both"
    made.write_bytes(locked.read_bytes())
    for name, secret in (("one", KEY), ("two", b"second")):
        (tmp_path / name).write_bytes(secret)
    tool(
        *("cryptsetup", "luksAddKey", "-q", "--key-file", tmp_path / "one", *QUICK),
        *(made, tmp_path / "two"),
    )
    assert plain_of(made, Keys((b"wrong", b"second"))) == plain_of(locked)


def test_a_wrong_key_and_no_key_are_told_apart(locked: Path) -> None:
    with pytest.raises(WrongKey, match="none of the given keys"):
        plain_of(locked, Keys((b"wrong", b"x" * 64)))
    with pytest.raises(Encrypted, match="no key was given"):
        plain_of(locked, NO_KEYS)


def test_the_second_header_stands_in_for_a_damaged_first(tmp_path: Path, locked: Path) -> None:
    made = tmp_path / "damaged"
    content = bytearray(locked.read_bytes())
    content[BINARY_BYTES + 10] ^= 1
    made.write_bytes(content)
    assert plain_of(made) == plain_of(locked)
    content[16384 + 100] ^= 1
    made.write_bytes(content)
    with pytest.raises(Malformed, match="both copies"):
        plain_of(made)


def changed(locked: Path, change: Callable[[dict[str, Any]], object]) -> MemoryDisk:
    """The volume with another JSON in its header, and checksums that are right."""
    content = bytearray(locked.read_bytes())
    for at in (0, 16384):
        area = content[at + BINARY_BYTES : at + 16384].split(b"\0")[0]
        told = json.loads(area)
        change(told)
        text = json.dumps(told).encode().ljust(16384 - BINARY_BYTES, b"\0")
        assert len(text) == 16384 - BINARY_BYTES
        content[at + BINARY_BYTES : at + 16384] = text
        content[at + 448 : at + 512] = bytes(64)
        digest = sha256(content[at : at + 16384]).digest()
        content[at + 448 : at + 480] = digest
    return MemoryDisk(bytes(content))


def set_in(*path: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        for name in path[:-1]:
            told = told[name] if name != "*" else next(iter(told.values()))
        told[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (set_in("segments", "*", "encryption", to="twofish-xts-plain64"), UnsupportedFormat, "two"),
        (set_in("segments", "*", "integrity", to={"type": "x"}), UnsupportedFormat, "integrity"),
        (set_in("segments", "*", "type", to="linear"), UnsupportedFormat, "linear"),
        (set_in("segments", "*", "sector_size", to=3), UnsupportedFormat, "sectors of 3"),
        (set_in("segments", "*", "sector_size", to=0), UnsupportedFormat, "sectors of 0"),
        (set_in("segments", "*", "sector_size", to=-512), RegildError, "sector"),
        (set_in("segments", "*", "offset", to="-1"), Malformed, "number"),
        (set_in("segments", "*", "offset", to="9" * 18), Malformed, "outside"),
        (set_in("segments", "*", "size", to="9" * 18), Malformed, "outside"),
        (set_in("segments", "*", "iv_tweak", to="9" * 18), Malformed, "bounds"),
        (set_in("segments", to={}), UnsupportedFormat, "0 segments"),
        (set_in("digests", to={}), Malformed, "digest"),
        (set_in("digests", "*", "digest", to=""), Malformed, "bounds"),
        (set_in("digests", "*", "keyslots", to=["7"]), Malformed, "keyslot"),
        (set_in("digests", "*", "hash", to="md5"), UnsupportedFormat, "md5"),
        (set_in("config", "requirements", to={"mandatory": ["online-reencrypt-v2"]}),
         UnsupportedFormat, "online-reencrypt"),
        (set_in("keyslots", "*", "key_size", to=1 << 62), UnsupportedFormat, "keys of"),
        (set_in("keyslots", "*", "af", to={"stripes": 1 << 60, "hash": "sha256"}),
         Malformed, "keyslot"),
        (set_in("keyslots", "*", "area", "offset", to="9" * 18), Malformed, "keyslot"),
        (set_in("keyslots", "*", "kdf", "memory", to=1 << 40), TooLarge, "KiB"),
        (set_in("keyslots", "*", "kdf", "memory", to=0), TooLarge, "KiB"),
        (set_in("keyslots", "*", "kdf", "time", to=1 << 31), TooLarge, "seconds"),
        (set_in("keyslots", "*", "kdf", "time", to=-1), Malformed, "bounds"),
        (set_in("keyslots", "*", "kdf", "cpus", to=1 << 20), TooLarge, "threads"),
        (set_in("keyslots", "*", "kdf", "type", to="scrypt"), UnsupportedFormat, "scrypt"),
        (set_in("keyslots", "*", "kdf", "salt", to="!"), Malformed, "keyslot"),
        (set_in("keyslots", to=[]), Malformed, "header"),
        (set_in("keyslots", to={}), Malformed, "keyslot"),
    ],
)  # fmt: skip
def test_a_hostile_header_is_refused_at_once(
    locked: Path, change: Callable[[dict[str, Any]], None], error: type[RegildError], match: str
) -> None:
    disk = changed(locked, change)
    begin = time.process_time()
    with pytest.raises(error, match=match) as caught:
        unlocked(disk, 0, disk.size, RIGHT, "it")
    assert time.process_time() - begin < 2
    assert str(caught.value) and caught.value.exit_code in (4, 5)


def test_a_pbkdf2_of_many_rounds_is_refused_before_it_is_tried(tmp_path: Path) -> None:
    made = first_version(volume(tmp_path / "root", ROOT))
    content = bytearray(made.read_bytes())
    struct.pack_into(">I", content, 208 + 4, 0xFFFFFFFF)
    disk = MemoryDisk(bytes(content))
    begin = time.process_time()
    with pytest.raises(TooLarge, match="seconds"):
        unlocked(disk, 0, disk.size, RIGHT, "it")
    assert time.process_time() - begin < 2


def test_json_of_endless_depth_is_malformed(locked: Path) -> None:
    content = bytearray(locked.read_bytes())
    for at in (0, 16384):
        content[at + BINARY_BYTES : at + 16384] = b"[" * (16384 - BINARY_BYTES)
        content[at + 448 : at + 512] = bytes(64)
        content[at + 448 : at + 480] = sha256(content[at : at + 16384]).digest()
    with pytest.raises(Malformed):
        read_header(MemoryDisk(bytes(content)), 0, len(content), "it")


def test_a_header_cut_off_or_of_noise_is_typed(locked: Path) -> None:
    content = locked.read_bytes()[: 64 << 10]
    chosen = random.Random(9)
    for _ in range(60):
        damaged = bytearray(content[: chosen.choice([4096, 10000, 16384, 40000])])
        for _ in range(chosen.randrange(4)):
            damaged[chosen.randrange(6, len(damaged))] = chosen.randrange(256)
        disk = MemoryDisk(bytes(damaged))
        with pytest.raises(RegildError) as caught:
            unlocked(disk, 0, disk.size, RIGHT, "it")
        assert caught.value.exit_code in (4, 5)


def test_a_guest_in_a_locked_partition_is_read(tmp_path: Path) -> None:
    inner = volume(tmp_path / "root", ROOT)
    made = encrypted(inner)
    part = Part("luks", content=made.read_bytes(), mebibytes=made.stat().st_size // MIB)
    disk_path = disk_of(tmp_path, [Part(files={"grub": "x"}), part])
    with open_disk(disk_path) as disk, open_guest(disk, "it", RIGHT) as guest:
        assert guest.tree.read("/etc/os-release", 100).startswith(b"ID=debian")
        assert guest.unknowns == ()
        (root,) = guest.mounts
        assert root.filesystem == "ext4 on LUKS"
    with (
        open_disk(disk_path) as disk,
        pytest.raises(WrongKey),
        open_guest(disk, "it", Keys((b"",))),
    ):
        pass


def test_a_second_volume_of_crypttab_is_mounted_or_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made = encrypted(volume(tmp_path / "in/var", Part(files={"lib/dpkg/status": "x"})))
    uuid = tool("cryptsetup", "luksUUID", made).strip()
    files = {
        "etc/os-release": "ID=debian\n",
        "etc/crypttab": f"# name\nvar_crypt UUID={uuid} none luks\n",
        "etc/fstab": "/dev/mapper/var_crypt /var ext4 defaults 0 2\n",
    }
    part = Part("luks", content=made.read_bytes(), mebibytes=made.stat().st_size // MIB)
    path = disk_of(tmp_path, [Part(files=files), part])
    with open_disk(path) as disk, open_guest(disk, "it", RIGHT) as guest:
        assert guest.tree.read("/var/lib/dpkg/status", 9) == b"x"
        assert guest.unknowns == ()
    with open_disk(path) as disk, open_guest(disk, "it") as guest:
        whys = {one.where: one.why for one in guest.unknowns}
        assert "no key was given" in whys["partition 2"]
        assert "/var" in whys


def test_keys_show_nothing_of_themselves(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    keys = read_keys([file])
    assert keys == RIGHT
    assert "horse" not in repr(keys) + str(keys)
    file.write_bytes(b"")
    with pytest.raises(UsageError, match="empty"):
        read_keys([file])
    with pytest.raises(UsageError, match="allowed"):
        read_keys([file] * 9)


def test_the_splitter_of_one_stripe_is_the_key_itself() -> None:
    assert joined_stripes(b"0123", 4, "sha256") == b"0123"
    assert isinstance(LuksDisk.format, str)
