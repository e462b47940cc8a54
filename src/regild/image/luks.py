"""LUKS volumes, opened with a key that the user gives, and read through AES-XTS sector by sector.

LUKS2 On-Disk Format Specification 1.1 (keyslots, anti-forensic splitter, digests), IEEE 1619-2007
(XTS), RFC 9106 (Argon2). A try costs what the header says, which may be hostile: the time of all
tries together is bounded, and the memory of each.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from regild.errors import Encrypted, Malformed, TooLarge, UnsupportedFormat, WrongKey
from regild.image.grains import check_range
from regild.image.luks_header import CIPHERS, HASHES, Check, Header, Kdf, Slot, read_header

if TYPE_CHECKING:
    from regild.image.disk import Disk
    from regild.image.keys import Keys

MAX_MEMORY_KIB = 1 << 20
"""What one Argon2 may take: 1 GiB, the most that cryptsetup chooses by itself."""
MAX_LANES = 16
MAX_EFFORT = 128.0
"""About as many seconds of one processor for all tries on a volume."""
_KIB_A_SECOND = 1 << 20
_ROUNDS_A_SECOND = 2_000_000


def unlocked(disk: Disk, begin: int, size: int, keys: Keys, where: str) -> LuksDisk:
    """The plain bytes of the LUKS volume at `begin` that takes `size` bytes.

    Raises: Encrypted without keys, WrongKey when none of them opens it, Malformed, Truncated,
    UnsupportedFormat for what is not read, TooLarge when a try would cost too much.
    """
    if not keys:
        raise Encrypted(where=where, why="it is encrypted (LUKS), and no key was given")
    header = read_header(disk, begin, size, where)
    tries = _Tries(disk, begin, where)
    for secret in keys.secrets:
        if len(secret) == header.key_bytes and tries.fits(header.check, secret):
            return LuksDisk(disk, begin, header, secret)
    for secret in keys.passphrases():
        for slot in header.slots:
            key = tries.key_of(slot, secret)
            if key is not None and tries.fits(header.check, key):
                return LuksDisk(disk, begin, header, key)
    raise WrongKey(where=where, why="none of the given keys opens it (LUKS)")


class LuksDisk:
    """The plain bytes of an encrypted volume as a disk of its own."""

    format = "luks"
    bytes_read = 0
    """What is read is counted by the disk below."""

    def __init__(self, disk: Disk, begin: int, header: Header, key: bytes) -> None:
        self.size = header.bytes
        self._disk = disk
        self._begin = begin + header.begin
        self._sector = header.sector
        self._decrypt = _decryption(key, header.cipher, header.sector, header.tweak)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated, and whatever the disk below raises.
        """
        check_range("the encrypted volume", self.size, offset, length)
        if not length:
            return b""
        first = offset // self._sector * self._sector
        last = -(-(offset + length) // self._sector) * self._sector
        plain = self._decrypt(self._disk.read(self._begin + first, last - first), first)
        return plain[offset - first : offset - first + length]

    def extents(self) -> Iterator[tuple[int, int]]:
        """All of it: whether a sector is zero cannot be seen from outside."""
        yield 0, self.size


class _Tries:
    """Tries of keys on one volume, up to what they may cost together."""

    def __init__(self, disk: Disk, begin: int, where: str) -> None:
        self._disk = disk
        self._begin = begin
        self._where = where
        self._left = MAX_EFFORT

    def key_of(self, slot: Slot, secret: bytes) -> bytes | None:
        """What a keyslot holds when it is opened with a secret, right or wrong."""
        key = self._derived(slot.kdf, secret, slot.area_key_bytes)
        length = slot.stripes * slot.key_bytes
        packed = self._disk.read(self._begin + slot.at, -(-length // 512) * 512)
        split = _decryption(key, slot.cipher, 512, 0)(packed, 0)
        return joined_stripes(split[:length], slot.key_bytes, slot.split_hash)

    def fits(self, check: Check, key: bytes) -> bool:
        """Whether a key is the volume's."""
        found = self._derived(check.kdf, key, len(check.digest))
        return bool(check.digest) and hmac.compare_digest(found, check.digest)

    def _derived(self, kdf: Kdf, secret: bytes, length: int) -> bytes:
        if not 0 < length <= 64 or kdf.iterations <= 0 or len(kdf.salt) > 4096:
            raise Malformed(where=self._where, why="its LUKS header is out of all bounds")
        if kdf.type == "pbkdf2":
            if kdf.hash not in HASHES:
                raise UnsupportedFormat(where=self._where, why=f"PBKDF2 with {kdf.hash[:40]!r}")
            blocks = -(-length // hashlib.new(kdf.hash).digest_size)
            self._spend(kdf.iterations * blocks / _ROUNDS_A_SECOND)
            return hashlib.pbkdf2_hmac(kdf.hash, secret, kdf.salt, kdf.iterations, length)
        return self._argon(kdf, secret, length)

    def _argon(self, kdf: Kdf, secret: bytes, length: int) -> bytes:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.kdf import argon2

        kinds = {"argon2id": "Argon2id", "argon2i": "Argon2i"}
        kind = getattr(argon2, kinds.get(kdf.type, ""), None)
        if kind is None:
            raise UnsupportedFormat(where=self._where, why=f"a key by {kdf.type[:40]!r}")
        if not 0 < kdf.memory_kib <= MAX_MEMORY_KIB or not 0 < kdf.lanes <= MAX_LANES:
            why = f"a try of a key would take {kdf.memory_kib} KiB and {kdf.lanes} threads"
            raise TooLarge(where=self._where, why=why)
        self._spend(kdf.iterations * kdf.memory_kib / _KIB_A_SECOND)
        try:
            found: bytes = kind(
                salt=kdf.salt,
                length=length,
                iterations=kdf.iterations,
                lanes=kdf.lanes,
                memory_cost=kdf.memory_kib,
            ).derive(secret)
        except UnsupportedAlgorithm as error:
            why = f"the installed OpenSSL has no {kdf.type}"
            raise UnsupportedFormat(where=self._where, why=why) from error
        except ValueError as error:
            raise Malformed(where=self._where, why=f"its LUKS header: {error}") from error
        return found

    def _spend(self, effort: float) -> None:
        self._left -= effort
        if self._left < 0:
            why = f"trying the keys would take more than about {MAX_EFFORT:.0f} seconds"
            raise TooLarge(where=self._where, why=why)


def joined_stripes(split: bytes, length: int, hash_name: str) -> bytes:
    """The key that the anti-forensic splitter spread over equal stripes (LUKS1, section 2.4)."""
    state = 0
    for begin in range(0, len(split) - length, length):
        state ^= int.from_bytes(split[begin : begin + length], "big")
        state = int.from_bytes(_diffused(state.to_bytes(length, "big"), hash_name), "big")
    state ^= int.from_bytes(split[-length:], "big")
    return state.to_bytes(length, "big")


def _diffused(content: bytes, name: str) -> bytes:
    size = hashlib.new(name, usedforsecurity=False).digest_size
    pieces = (
        hashlib.new(
            name,
            index.to_bytes(4, "big") + content[index * size : (index + 1) * size],
            usedforsecurity=False,
        ).digest()
        for index in range(-(-len(content) // size))
    )
    return b"".join(pieces)[: len(content)]


def _decryption(key: bytes, cipher: str, sector: int, tweak: int) -> Callable[[bytes, int], bytes]:
    """Decrypts whole sectors that lie at a place; the tweak counts sectors of 512 bytes, whatever
    their size."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import XTS

    if key[: len(key) // 2] == key[len(key) // 2 :]:
        raise Malformed(where="an encrypted volume", why="both halves of its key are the same")
    algorithm = AES(key)
    mask = (1 << CIPHERS[cipher]) - 1

    def decrypt(packed: bytes, at: int) -> bytes:
        """Whole sectors in clear, from where they stand in the segment."""
        parts = []
        for begin in range(0, len(packed), sector):
            number = (tweak + (at + begin) // 512) & mask
            machine = Cipher(algorithm, XTS(number.to_bytes(16, "little"))).decryptor()
            parts.append(machine.update(packed[begin : begin + sector]))
        return b"".join(parts)

    return decrypt
