"""LUKS volumes whose header and whose bytes cryptsetup itself wrote, on a file and without root."""

from __future__ import annotations

import random
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import XTS

from tests.image.disks import tool

MIB = 1 << 20
KEY = b"correct horse"
QUICK = ("--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024")
SLOW = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


def encrypted(plain: Path, *options: str, sector: int = 512) -> Path:
    """The same filesystem, encrypted in place by cryptsetup; the file grows by the header's
    room."""
    made = plain.with_name(f"{plain.name}.luks")
    made.write_bytes(plain.read_bytes() + bytes(32 * MIB))
    secret = plain.with_name("key")
    secret.write_bytes(KEY)
    tool(
        *("cryptsetup", "reencrypt", "--encrypt", "-q", "--type", "luks2"),
        *("--reduce-device-size", "32M", "--key-file", secret, "--sector-size", sector),
        *(*(options or QUICK), made),
    )
    return made


def first_version(plain: Path, *options: str) -> Path:
    """The same filesystem in LUKS1: cryptsetup's own header, and bytes that are encrypted here,
    because its own way needs a kernel's device-mapper."""
    made = plain.with_name(f"{plain.name}.luks1")
    content = plain.read_bytes()
    with made.open("wb") as file:
        file.truncate(2 * MIB + len(content))
    secret, own = plain.with_name("key"), plain.with_name("volume.key")
    secret.write_bytes(KEY)
    bits = int(options[options.index("-s") + 1]) if "-s" in options else 512
    key = random.Random(1).randbytes(bits // 8)
    own.write_bytes(key)
    tool(
        *("cryptsetup", "luksFormat", "-q", "--type", "luks1", "--volume-key-file", own, "-s"),
        *(bits, *options, "--pbkdf-force-iterations", "1000", "--align-payload", "4096"),
        *(made, secret),
    )
    with made.open("r+b") as file:
        file.seek(2 * MIB)
        for number in range(len(content) // 512):
            machine = Cipher(AES(key), XTS(number.to_bytes(16, "little"))).encryptor()
            file.write(machine.update(content[number * 512 : (number + 1) * 512]))
    return made
