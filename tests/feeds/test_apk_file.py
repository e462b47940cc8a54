"""Package files of apk: believed by the digest of their control part, and what they hold."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regild.errors import (
    DigestMismatch,
    InputError,
    Malformed,
    PlanMoved,
    RegildError,
    TooLarge,
    Truncated,
)
from regild.feeds import apk_file
from regild.feeds.apk import ApkAvailable, ApkRepository, read_digest
from regild.feeds.apk_file import open_package, read_entry, read_head, read_shipped
from regild.feeds.archives import measure
from regild.model.apk_blocks import read_blocks
from regild.model.content import Content, Platform, Source
from regild.model.digest import Digest
from regild.model.plan import Archive, FeedState, Step
from tests.change.apk_guests import web
from tests.feeds.apk_packages import Apk, build

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Digest("sha256:" + "0" * 64)


def block_of(told: str) -> dict[str, str]:
    (block,) = read_blocks(told, "x")
    return block


def archive_of(content: bytes, told: str) -> Archive:
    digest = read_digest(block_of(told)["C"], "x")
    return Archive("x", "web-2.0-r0.apk", digest, len(content))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    content, told = build(web("2.0-r0"))
    path = tmp_path / "web.apk"
    path.write_bytes(content)
    return path, told


def test_the_digest_is_of_the_control_part(made: tuple[Path, str]) -> None:
    path, told = made
    archive = archive_of(path.read_bytes(), told)
    assert archive.digest.startswith("sha1:")
    assert measure(path, archive) == archive.digest


def test_any_byte_of_the_content_counts(made: tuple[Path, str]) -> None:
    path, told = made
    content = bytearray(path.read_bytes())
    archive = archive_of(bytes(content), told)
    at = open_package(path).content_at
    for place in (at, at + 40, len(content) - 1):
        changed = bytes(content[:place]) + bytes([content[place] ^ 1]) + bytes(content[place + 1 :])
        path.write_bytes(changed)
        with pytest.raises(DigestMismatch):
            measure(path, archive)
    path.write_bytes(bytes(content) + b"more")
    with pytest.raises(DigestMismatch):
        measure(path, archive)


def test_any_byte_of_the_control_part_counts(made: tuple[Path, str]) -> None:
    path, told = made
    content = path.read_bytes()
    archive, package = archive_of(content, told), open_package(path)
    begin = package.content_at - len(package.control)
    for place in range(begin, package.content_at, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            assert measure(path, archive) != archive.digest
        except InputError:
            continue


def test_what_a_package_puts_into_a_guest(made: tuple[Path, str]) -> None:
    shipped = read_shipped(made[0], "web", "x86_64")
    rows = {one.path: one for one in shipped.paths}
    assert shipped.type == "apk"
    assert "/var/lib/web/state" in shipped.scripts
    assert rows["/usr/bin/web-helper"].mode == 0o4755
    assert rows["/var/lib/web/own"].user == rows["/var/lib/web/own"].group == "web"
    assert not rows["/var/lib/web/own"].is_roots
    assert rows["/usr/share/web/b"].digest == rows["/usr/share/web/a"].digest
    assert rows["/usr/share/web/b"].sha1 == hashlib.sha1(b"twice 2.0-r0").hexdigest()
    assert rows["/usr/share/web/now"].target == "b"
    assert rows["/var/lib/web"].kind == "directory"


def test_a_package_of_relations_alone_holds_nothing(tmp_path: Path) -> None:
    content, _ = build(Apk("meta", "1-r0", depends=("web",)))
    path = tmp_path / "meta.apk"
    package = read_head(io.BytesIO(content), "meta")
    path.write_bytes(content[: package.content_at])
    assert read_shipped(path, "meta", "").paths == ()


def available(told: str) -> ApkAvailable:
    source = Source("apk", "http://mirror.example/main", "")
    state = FeedState(uri=source.uri, suite="", digest=NOTHING, date="")
    blocks = {"web": (block_of(told),)}
    one = ApkRepository(
        source, "http://mirror.example/main/x86_64", state, Path("x"), NOTHING, blocks
    )
    return ApkAvailable((one,))


def test_the_entry_is_the_signed_indexs_own(made: tuple[Path, str]) -> None:
    path, told = made
    archive = archive_of(path.read_bytes(), told)
    step = Step("upgrade", "web", "x86_64", "1.0-r0", "2.0-r0", type="apk", archive=archive)
    content = Content(Platform())
    assert block_of(read_entry(path, step, content, available(told), NOW)) == block_of(told)
    other, elsewhere = build(web("3.0-r0"))
    with pytest.raises(PlanMoved, match="not offer"):
        read_entry(path, step, content, available(elsewhere), NOW)
    path.write_bytes(other)
    with pytest.raises(PlanMoved, match=r"3\.0-r0"):
        read_entry(path, step, content, available(told), NOW)


def gz(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", Truncated),
        (b"ADBd" + bytes(600), Malformed),
        (gz("usr/bin/web"), Malformed),
        (gz(".SIGN.RSA.a", "usr"), Malformed),
        (gz(".SIGN.RSA.a"), Truncated),
        (gz(".SIGN.RSA.a") * 2 + gz(".PKGINFO"), Malformed),
        (gz(".PKGINFO")[:-9], Truncated),
        (gzip.compress(b"not a tar at all" * 100), Malformed),
    ],
)
def test_what_is_no_package_is_refused(content: bytes, kind: type[RegildError]) -> None:
    with pytest.raises(kind):
        read_head(io.BytesIO(content), "x")


def test_a_control_part_beyond_reason_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apk_file, "PART_LIMIT", 4096)
    with pytest.raises(TooLarge):
        read_head(io.BytesIO(gz(*(f".f{number}" for number in range(30)))), "x")
