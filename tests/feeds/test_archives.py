"""Package files: fetched once, whole, and only what the index promised."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import DigestMismatch, NotOffered, SourceRefused, TooLarge, Truncated
from regild.feeds.archives import fetch_archives
from regild.feeds.policy import SitePolicy, with_options
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Archive
from regild.model.progress import Silent
from tests.feeds.servers import Answer, serve

BODY = b"package"
ARCHIVE = Archive("http://mirror.example/pool/a.deb", "a_1_all.deb", sha256_of(BODY), len(BODY))


class Told(Silent):
    def __init__(self) -> None:
        self.bytes = 0

    def advance(self, amount: int) -> None:
        self.bytes += amount


def policy_for(url: str) -> SitePolicy:
    return with_options(SitePolicy(), mirrors=(f"http://mirror.example={url}",))


def test_a_package_is_fetched_once(tmp_path: Path) -> None:
    answer = Answer(BODY)
    told = Told()
    with serve({"/pool/a.deb": answer}) as server:
        for _ in range(2):
            found = fetch_archives([ARCHIVE, ARCHIVE], policy_for(server.url), tmp_path, told)
    assert answer.asked == 1
    assert found[ARCHIVE.digest].read_bytes() == BODY
    assert told.bytes == 2 * len(BODY)


def test_an_index_may_name_a_package_by_another_digest(tmp_path: Path) -> None:
    digest = Digest("sha512:" + hashlib.sha512(BODY).hexdigest())
    archive = replace(ARCHIVE, digest=digest)
    other = replace(archive, digest=Digest("sha512:" + "0" * 128))
    with serve({"/pool/a.deb": Answer(BODY)}) as server:
        policy = policy_for(server.url)
        (path,) = fetch_archives([archive], policy, tmp_path, Silent()).values()
        with pytest.raises(DigestMismatch):
            fetch_archives([other], policy, tmp_path, Silent())
    assert path.read_bytes() == BODY


def test_a_damaged_file_of_the_cache_is_fetched_again(tmp_path: Path) -> None:
    with serve({"/pool/a.deb": Answer(BODY)}) as server:
        policy = policy_for(server.url)
        (path,) = fetch_archives([ARCHIVE], policy, tmp_path, Silent()).values()
        path.write_bytes(b"damaged")
        assert fetch_archives([ARCHIVE], policy, tmp_path, Silent()) == {ARCHIVE.digest: path}
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(b"PACKAGE"), DigestMismatch),
        (Answer(b"pack"), Truncated),
        (Answer(b"package and more"), TooLarge),
        (Answer(status=404), NotOffered),
    ],
)
def test_anything_else_leaves_nothing_behind(
    tmp_path: Path, answer: Answer, kind: type[Exception]
) -> None:
    with serve({"/pool/a.deb": answer}) as server, pytest.raises(kind) as caught:
        fetch_archives([ARCHIVE], policy_for(server.url), tmp_path, Silent())
    assert type(caught.value) is kind
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_address_that_the_site_does_not_allow_is_refused(tmp_path: Path) -> None:
    local = replace(ARCHIVE, uri="http://127.0.0.1:9/pool/a.deb")
    with pytest.raises(SourceRefused):
        fetch_archives([local], SitePolicy(), tmp_path, Silent())


def test_a_folder_of_repositories_serves_packages(tmp_path: Path) -> None:
    (tmp_path / "off/pool").mkdir(parents=True)
    (tmp_path / "off/pool/a.deb").write_bytes(BODY)
    policy = with_options(SitePolicy(), offline=tmp_path / "off")
    found = fetch_archives([ARCHIVE], policy, tmp_path / "cache", Silent())
    assert found[ARCHIVE.digest].read_bytes() == BODY
