"""An image's rpm repositories: what is believed, and what is refused with an error of its own."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from backports import zstd
from msgspec.structs import replace

from regild.errors import (
    BadSignature,
    DigestMismatch,
    Malformed,
    NotOffered,
    PlanError,
    RegildError,
    RolledBack,
    SourceRefused,
    TooLarge,
    Truncated,
    UnknownKey,
)
from regild.feeds.policy import SignedBy, SitePolicy, with_options
from regild.feeds.rpm import refresh, trust_of
from regild.feeds.rpm_available import RpmAvailable
from regild.feeds.rpm_file import check_package, read_package
from regild.model.content import Content
from regild.model.progress import Silent
from tests.feeds.repositories import NOW, certificate, fingerprint
from tests.feeds.rpm_repositories import (
    URI,
    Rpm,
    advisory,
    build,
    content_of,
    needs_createrepo,
    publish,
    sign_repository,
    source,
    updateinfo,
)

pytestmark = needs_createrepo

RPMS = (
    Rpm("a", "1"),
    Rpm("a", "2", epoch=3, lines=("Requires: b >= 1", "Provides: virtual = 7", "Vendor: V")),
    Rpm("b", "1", files=("/usr/bin/b",)),
)
NOTICES = updateinfo(
    advisory("SEC-1", RPMS[1:2], cve="CVE-2026-0001", reboot=True),
    advisory("BUG-1", RPMS[2:], type="bugfix"),
)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def read(
    mirror: Path, content: Content | None = None, policy: SitePolicy | None = None
) -> RpmAvailable:
    content = content or content_of(source())
    policy = policy or with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    return refresh(content, policy, mirror.parent / "cache", NOW, Silent())


def signed(mirror: Path, **options: str) -> RpmAvailable:
    return read(mirror, content_of(source(repo_gpgcheck="1", **options)))


def edit(mirror: Path, pattern: str, by: str) -> None:
    """Change the repository's statement."""
    repomd = mirror / "repodata/repomd.xml"
    text, count = re.subn(pattern, by, repomd.read_text(), flags=re.DOTALL)
    assert count
    repomd.write_text(text)


def test_reads_what_a_repository_offers(mirror: Path) -> None:
    publish(mirror, RPMS, updateinfo=NOTICES)
    available = read(mirror)
    found = available.find_release("a", "3:2-1", "noarch")
    assert found is not None
    assert (found.source, found.source_version, found.suite) == ("a", "2-1", "updates")
    assert found.security
    assert found.archive.uri == f"{URI}/a-2-1.noarch.rpm"
    content = (mirror / "a-2-1.noarch.rpm").read_bytes()
    assert found.archive.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert found.archive.bytes == len(content)
    assert "b" in found.needs and {"a", "virtual"} <= set(found.provides)
    newest = available.find_newest("a", "noarch")
    assert newest is not None and newest.version == "3:2-1"
    assert available.find_release("c", "1-1", "noarch") is None


def test_advisories_tell_what_an_update_fixes(mirror: Path) -> None:
    publish(mirror, RPMS, updateinfo=NOTICES)
    available = read(mirror)
    (notice,) = available.notices("a", "1-1", "3:2-1")
    assert (notice.id, notice.cves, notice.reboot) == ("SEC-1", ("CVE-2026-0001",), True)
    assert list(available.notices("a", "3:2-1", "3:2-1")) == []
    (bug,) = available.notices("b", "", "1-1")
    assert bug.type == "bugfix"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress),
                                              (".zst", zstd.compress), ("", bytes)])  # fmt: skip
def test_every_packing_is_read(mirror: Path, suffix: str, pack: object) -> None:
    publish(mirror, RPMS)
    plain = gzip.decompress((mirror / "repodata/primary.xml.gz").read_bytes())
    packed = pack(plain)  # type: ignore[operator]
    (mirror / "repodata" / f"primary.xml{suffix}").write_bytes(packed)
    digest = hashlib.sha256(packed).hexdigest()
    edit(
        mirror,
        r'(<data type="primary">\s*<checksum[^>]*>)[0-9a-f]*(</checksum>.*?)primary.xml.gz'
        r'(".*?<size>)[0-9]*',
        rf"\g<1>{digest}\g<2>primary.xml{suffix}\g<3>{len(packed)}",
    )
    assert read(mirror).find_newest("b", "noarch") is not None


def test_the_second_read_fetches_no_index(mirror: Path) -> None:
    publish(mirror, RPMS, updateinfo=NOTICES)
    first = read(mirror)
    for path in (mirror / "repodata").glob("[pu]*.gz"):
        path.unlink()
    again = read(mirror)
    assert again.feeds == first.feeds
    assert again.find_newest("a", "noarch") == first.find_newest("a", "noarch")


def test_a_signature_that_the_image_asks_for_is_checked(mirror: Path) -> None:
    publish(mirror, RPMS, signer="archive")
    (feed,) = signed(mirror).feeds
    assert len(feed.signed_by) == 1


def test_what_is_believed_without_a_signature_says_so(mirror: Path) -> None:
    publish(mirror, RPMS, signer="archive")
    (feed,) = read(mirror).feeds
    assert feed.signed_by == ()


def test_a_missing_signature_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS)
    with pytest.raises(BadSignature, match="not signed"):
        signed(mirror)


def test_a_statement_that_was_changed_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS, signer="archive")
    edit(mirror, "<revision>", "<revision>1")
    with pytest.raises(BadSignature, match="is not what"):
        signed(mirror)


def test_an_unknown_key_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS, signer="stranger")
    with pytest.raises(UnknownKey):
        signed(mirror)


def test_an_image_without_the_key_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS, signer="archive")
    with pytest.raises(BadSignature, match="no usable key"):
        read(mirror, content_of(source(repo_gpgcheck="1"), keyring=b""))


def test_zypper_believes_signed_repositories_or_signed_packages(mirror: Path) -> None:
    publish(mirror, RPMS)
    wish = {"repo_gpgcheck": "signed", "gpgcheck": "1"}
    assert read(mirror, content_of(source(**wish))).feeds[0].signed_by == ()
    sign_repository(mirror, "stranger")
    with pytest.raises(UnknownKey):
        read(mirror, content_of(source(**wish)))
    (mirror / "repodata/repomd.xml.asc").unlink()
    with pytest.raises(BadSignature, match="not signed"):
        read(mirror, content_of(source(repo_gpgcheck="signed", gpgcheck="0")))


def test_an_index_of_other_bytes_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS)
    primary = mirror / "repodata/primary.xml.gz"
    content = bytearray(primary.read_bytes())
    content[-1] ^= 1
    primary.write_bytes(content)
    with pytest.raises(DigestMismatch):
        read(mirror)


def test_a_truncated_index_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS)
    primary = mirror / "repodata/primary.xml.gz"
    primary.write_bytes(primary.read_bytes()[:-10])
    with pytest.raises(Truncated):
        read(mirror)


def test_an_index_that_unpacks_to_more_than_promised_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS)
    bomb = gzip.compress(b"<metadata>" + bytes(20_000_000))
    (mirror / "repodata/primary.xml.gz").write_bytes(bomb)
    digest = hashlib.sha256(bomb).hexdigest()
    edit(
        mirror,
        r'(<data type="primary">\s*<checksum[^>]*>)[0-9a-f]*(</checksum>.*?<size>)[0-9]*',
        rf"\g<1>{digest}\g<2>{len(bomb)}",
    )
    with pytest.raises(TooLarge, match="unpacks"):
        read(mirror)


def test_what_goes_back_in_time_is_refused(mirror: Path) -> None:
    publish(mirror, RPMS[:1], options=("--set-timestamp-to-revision", "--revision=1700000000"))
    shutil.copytree(mirror, mirror.parent / "old")
    publish(mirror, RPMS, options=("--set-timestamp-to-revision", "--revision=1700000100"))
    assert read(mirror).feeds[0].date == "2023-11-14T22:15:00Z"
    shutil.rmtree(mirror)
    (mirror.parent / "old").rename(mirror)
    with pytest.raises(RolledBack):
        read(mirror)
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    assert read(mirror, policy=replace(policy, accept_older=True)).feeds


def test_the_site_can_demand_a_signature_by_a_key_of_its_choice(mirror: Path) -> None:
    publish(mirror, RPMS)
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    strict = replace(policy, keys=(SignedBy(URI, (fingerprint(),)),))
    with pytest.raises(BadSignature, match="the site asks for it"):
        read(mirror, policy=strict)
    sign_repository(mirror)
    assert read(mirror, policy=strict).feeds[0].signed_by == (fingerprint(),)
    other = replace(policy, keys=(SignedBy(URI, (fingerprint("stranger"),)),))
    with pytest.raises(UnknownKey):
        read(mirror, policy=other)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('<!DOCTYPE m [<!ENTITY a "b">]><metadata>&a;</metadata>', Malformed),
        ("<metadata>" + "<a>" * 100 + "</a>" * 100 + "</metadata>", TooLarge),
        ("<metadata><package><name>a</name>", Malformed),
        ('<?xml version="1.0" encoding="iso-8859-1"?><metadata/>', Malformed),
        ("<metadata><package><name>a</name><name>b</name></package></metadata>", Malformed),
    ],
)
def test_an_index_that_is_no_index_is_refused(
    mirror: Path, text: str, error: type[RegildError]
) -> None:
    publish(mirror, RPMS)
    packed = gzip.compress(text.encode())
    (mirror / "repodata/primary.xml.gz").write_bytes(packed)
    opened, closed = (hashlib.sha256(one).hexdigest() for one in (text.encode(), packed))
    edit(
        mirror,
        r'<data type="primary">.*?</data>',
        f'<data type="primary"><checksum type="sha256">{closed}</checksum>'
        f'<open-checksum type="sha256">{opened}</open-checksum>'
        '<location href="repodata/primary.xml.gz"/></data>',
    )
    with pytest.raises(error):
        read(mirror)


@pytest.mark.parametrize(
    ("pattern", "by", "error"),
    [
        (r'type="sha256"', 'type="md5"', Malformed),
        (r'href="repodata/primary', 'href="../primary', Malformed),
        (r"<repomd", '<!DOCTYPE a SYSTEM "b"><repomd', Malformed),
        (r'type="primary"', 'type="filelists"', Malformed),
        (r'href="repodata/primary.xml.gz"', 'href="repodata/absent.xml.gz"', NotOffered),
    ],
)
def test_a_statement_that_cannot_be_followed_is_refused(
    mirror: Path, pattern: str, by: str, error: type[RegildError]
) -> None:
    publish(mirror, RPMS)
    edit(mirror, pattern, by)
    with pytest.raises(error):
        read(mirror)


def test_a_list_of_mirrors_is_followed_where_the_site_says_so(mirror: Path) -> None:
    publish(mirror, RPMS)
    content = content_of(source(uri="https://lists.example/metalink?repo=a", address="metalink"))
    with pytest.raises(SourceRefused, match="name a mirror for repo:updates"):
        read(mirror, content)
    policy = with_options(SitePolicy(), mirrors=(f"repo:updates={mirror}",))
    available = read(mirror, content, policy)
    found = available.find_newest("b", "noarch")
    assert found is not None and found.archive.uri == "repo:updates/b-1-1.noarch.rpm"
    shutil.copytree(mirror, mirror.parent / "offline/updates")
    offline = with_options(SitePolicy(), offline=mirror.parent / "offline")
    assert read(mirror, content, offline).find_newest("b", "noarch") == found


def test_a_repository_that_is_away_may_be_left_out_only_where_the_image_says_so(
    mirror: Path,
) -> None:
    publish(mirror, RPMS)
    (mirror.parent / "away").mkdir()
    away = "http://away.example/"
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}", f"{away}={mirror.parent}/away"))
    with pytest.raises(NotOffered):
        read(mirror, content_of(source(), source("other", away)), policy)
    wish = source("other", away, skip_if_unavailable="1")
    found = read(mirror, content_of(source(), wish), policy)
    assert len(found.feeds) == 1
    (left,) = found.unread
    assert left.name == "other" and "could not be read" in left.why and "repomd.xml" in left.why
    both = source(uri=away, alternatives=URI)
    assert len(read(mirror, content_of(both), policy).feeds) == 1


def test_an_image_without_sources_is_an_error(mirror: Path) -> None:
    with pytest.raises(PlanError):
        read(mirror, content_of())


# Package files


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A home of gpg with a key, and its certificate."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    made = ["--quick-gen-key", "packager@mirror.example", "rsa2048", "sign", "never"]
    subprocess.run([*gpg, *made], check=True, capture_output=True)
    told = subprocess.run([*gpg, "--export"], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    return home, told.stdout


@pytest.fixture
def package(keyring: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A package that is really signed."""
    (built,) = build([Rpm("signed", "1", files=("/etc/signed",))])
    path = tmp_path / "signed.rpm"
    shutil.copy(built, path)
    names = ["--define", "_gpg_name packager@mirror.example"]
    argv = ["rpmsign", *names, "--define", f"_gpg_path {keyring[0]}"]
    argv += ["--define", f"__gpg {shutil.which('gpg')}", "--addsign", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(keyring[0]), "--kill", "all"], check=False)
    return path


def checked(package: Path, keys: bytes) -> tuple[str, int]:
    from datetime import UTC, datetime

    content = content_of(source(), keyring=keys)
    trust = trust_of(source(), content.planning.keyrings, database=True)
    header, found = check_package(package, trust, datetime.now(UTC), "the package")
    return header.name, len(found.keys)


def test_a_signed_package_is_believed(package: Path, keyring: tuple[Path, bytes]) -> None:
    assert checked(package, keyring[1]) == ("signed", 1)


def test_a_package_of_an_unknown_key_is_refused(package: Path) -> None:
    with pytest.raises(UnknownKey):
        checked(package, certificate())


def test_a_package_without_a_signature_is_refused(keyring: tuple[Path, bytes]) -> None:
    (built,) = build([Rpm("signed", "1", files=("/etc/signed",))])
    with pytest.raises(BadSignature, match="not signed"):
        checked(built, keyring[1])


@pytest.mark.parametrize("beside", [-10, -200, 5])
def test_a_package_that_was_changed_is_refused(
    package: Path, keyring: tuple[Path, bytes], beside: int
) -> None:
    """In its header, or in the payload behind it."""
    with package.open("rb") as file:
        place = read_package(file, "x").payload_at + beside
    content = bytearray(package.read_bytes())
    content[place] ^= 1
    package.write_bytes(content)
    with pytest.raises(BadSignature):
        checked(package, keyring[1])


def test_a_package_that_is_cut_off_is_refused(package: Path, keyring: tuple[Path, bytes]) -> None:
    content = package.read_bytes()
    package.write_bytes(content[:-5])
    with pytest.raises(BadSignature, match="payload"):
        checked(package, keyring[1])
    package.write_bytes(content[:1000])
    with pytest.raises(Truncated):
        checked(package, keyring[1])
