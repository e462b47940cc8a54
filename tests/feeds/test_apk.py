"""An image's apk repositories: signed indexes, and what is refused with an error of its own."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from regild.errors import (
    BadSignature,
    Malformed,
    NotOffered,
    PlanError,
    RolledBack,
    TooLarge,
    Truncated,
    UnknownKey,
)
from regild.feeds import apk
from regild.feeds.apk import ApkAvailable, plain_members, read_digest, refresh
from regild.feeds.policy import SitePolicy, with_options
from regild.model.content import Content, Keyring, Planning, Platform, Source
from regild.model.progress import Silent
from tests.feeds.apk_repositories import KEY_NAME, MADE, block, index, public, publish, signature
from tests.feeds.repositories import NOW

URI = "http://mirror.example/alpine/v3.20/main"
BLOCKS = (
    block("musl", "1.2.5-r0", p="so:libc.musl-x86_64.so.1=1"),
    block("musl", "1.2.5-r1", p="so:libc.musl-x86_64.so.1=1"),
    block("openssl", "3.3.2-r0", D="so:libc.musl-x86_64.so.1 !libressl", o="openssl"),
)


def content_of(*sources: Source, keys: bytes | None = None) -> Content:
    ring = Keyring(f"/etc/apk/keys/{KEY_NAME}", public() if keys is None else keys)
    return Content(
        Platform("linux", "alpine", "3.20.3", "", "Alpine", "x86_64"),
        sources=sources or (Source("apk", URI, ""),),
        planning=Planning(type="apk", architectures=("x86_64",), keyrings=(ring,)),
    )


def read(mirror: Path, content: Content | None = None) -> ApkAvailable:
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    return refresh(content or content_of(), policy, mirror.parent / "cache", NOW, Silent())


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.mark.parametrize("sha256", [False, True])
def test_reads_what_a_repository_offers(mirror: Path, sha256: bool) -> None:
    publish(mirror, BLOCKS, sha256=sha256)
    available = read(mirror)
    (feed,) = available.feeds
    assert feed.signed_by == (KEY_NAME,)
    assert feed.date == "2025-06-15T15:06:40Z"
    newest = available.find_newest("musl", "x86_64")
    assert newest is not None and newest.version == "1.2.5-r1"
    assert newest.archive.uri == f"{URI}/x86_64/musl-1.2.5-r1.apk"
    assert newest.archive.digest.startswith("sha1:") and newest.archive.bytes == 1000
    found = available.find_release("openssl", "3.3.2-r0", "x86_64")
    assert found is not None and found.needs == ("so:libc.musl-x86_64.so.1",)


def test_an_index_of_other_bytes_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS)
    path = mirror / "x86_64/APKINDEX.tar.gz"
    path.write_bytes(signature(index(BLOCKS)) + index(BLOCKS[:1]))
    with pytest.raises(BadSignature, match="is not what"):
        read(mirror)


def test_a_key_of_another_under_a_known_name_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS, signer="stranger")
    with pytest.raises(BadSignature):
        read(mirror)


def test_an_unknown_key_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS, name="stranger.rsa.pub")
    with pytest.raises(UnknownKey, match="stranger"):
        read(mirror)


def test_a_key_that_is_none_signs_nothing(mirror: Path) -> None:
    publish(mirror, BLOCKS)
    with pytest.raises(BadSignature):
        read(mirror, content_of(keys=b"no key"))


def test_an_index_without_a_signature_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS)
    (mirror / "x86_64/APKINDEX.tar.gz").write_bytes(index(BLOCKS))
    with pytest.raises(BadSignature, match="not signed"):
        read(mirror)


def test_a_truncated_index_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS)
    packed = index(BLOCKS)[:-20]
    path = mirror / "x86_64/APKINDEX.tar.gz"
    path.write_bytes(signature(packed) + packed)
    with pytest.raises(Truncated):
        read(mirror)
    path.write_bytes(signature(packed)[:-20])
    with pytest.raises(Truncated):
        read(mirror)


def test_an_index_that_unpacks_without_end_is_refused(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apk, "INDEX_LIMIT", 1 << 20)
    publish(mirror, BLOCKS)
    packed = gzip.compress(bytes(20_000_000))
    (mirror / "x86_64/APKINDEX.tar.gz").write_bytes(signature(packed) + packed)
    with pytest.raises(TooLarge):
        read(mirror)


@pytest.mark.parametrize("text", ["no field\n", "P:a\n", "P:a b\nV:1\n", "P:a\nV:\x1b\n"])
def test_a_signed_index_that_is_none_is_malformed(mirror: Path, text: str) -> None:
    publish(mirror, [text])
    with pytest.raises(Malformed):
        read(mirror)


def test_a_signature_with_holes_takes_no_memory() -> None:
    """Before anything is believed: a member that says of itself that it is 4 GiB of nothing."""
    head = bytearray(tarfile.TarInfo(".SIGN.RSA.key").tobuf(tarfile.GNU_FORMAT))
    head[156:157] = tarfile.GNUTYPE_SPARSE
    size = b"%011o\0" % (4 << 30)
    head[386:410], head[483:495] = size + b"%011o\0" % 0, size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    with pytest.raises(Malformed, match="holes"):
        list(plain_members(bytes(head) + bytes(1024), "test"))


def test_what_goes_back_in_time_is_refused(mirror: Path) -> None:
    publish(mirror, BLOCKS)
    read(mirror)
    publish(mirror, BLOCKS[:1], made=MADE - 60)
    with pytest.raises(RolledBack):
        read(mirror)


def test_what_is_not_there_is_an_error(mirror: Path) -> None:
    mirror.mkdir()
    with pytest.raises(NotOffered):
        read(mirror)
    with pytest.raises(PlanError):
        read(mirror, content_of(Source("apk", URI, "", enabled=False)))


@pytest.mark.parametrize("text", ["", "Q1", "Q1x", "Q3" + "A" * 28, "Q2" + "A" * 28])
def test_what_is_no_digest_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        read_digest(text, "x")
