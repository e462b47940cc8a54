"""apk repositories in a folder, written as apk's own tools write them: gzip members, an RSA
signature over the packed index."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY_NAME = "test@mirror.example-5f3c.rsa.pub"
MADE = 1_750_000_000


@cache
def key(name: str = "archive") -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def public(name: str = "archive") -> bytes:
    return key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def block(name: str, version: str, **fields: str) -> str:
    """A package's block in an index; keywords are further letters."""
    digest = base64.b64encode(hashlib.sha1(f"{name}{version}".encode()).digest()).decode()
    own = {"C": f"Q1{digest}", "P": name, "V": version, "A": "x86_64", "S": "1000", "I": "2000"}
    return "".join(f"{letter}:{value}\n" for letter, value in {**own, **fields}.items())


def tar(files: dict[str, bytes], made: int, whole: bool = True) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), made
            archive.addfile(member, io.BytesIO(content))
    end = (
        len(out.getvalue())
        if whole
        else sum(512 + -(-len(one) // 512) * 512 for one in files.values())
    )
    return out.getvalue()[:end]


def index(blocks: Sequence[str], made: int = MADE) -> bytes:
    """The packed index, without a signature."""
    text = "\n".join(blocks).encode() + b"\n"
    return gzip.compress(tar({"DESCRIPTION": b"v1", "APKINDEX": text}, made), mtime=0)


def signature(
    packed: bytes, signer: str = "archive", name: str = KEY_NAME, sha256: bool = False
) -> bytes:
    """The gzip member of signatures."""
    algorithm = hashes.SHA256() if sha256 else hashes.SHA1()
    made = key(signer).sign(packed, PKCS1v15(), algorithm)
    title = f".SIGN.RSA{'256' if sha256 else ''}.{name}"
    return gzip.compress(tar({title: made}, 0, whole=False), mtime=0)


def publish(folder: Path, blocks: Sequence[str], made: int = MADE, **how: object) -> Path:
    """Write a signed index for one architecture below a folder."""
    packed = index(blocks, made)
    place = folder / "x86_64"
    place.mkdir(parents=True, exist_ok=True)
    signed = signature(packed, **how) + packed  # type: ignore[arg-type]
    (place / "APKINDEX.tar.gz").write_bytes(signed)
    return folder
