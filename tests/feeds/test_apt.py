"""An image's repositories: what is believed, what is refused, and that nothing is fetched twice."""

from __future__ import annotations

import hashlib
import lzma
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import (
    Ambiguous,
    BadSignature,
    DigestMismatch,
    Expired,
    FeedUnreachable,
    Malformed,
    NotOffered,
    PlanError,
    RedirectRefused,
    RegildError,
    RolledBack,
    SourceRefused,
    TooLarge,
    Truncated,
    UnknownKey,
    WrongRelease,
)
from regild.feeds.apt import merged_sources, refresh
from regild.feeds.available import Available
from regild.feeds.policy import SignedBy, SitePolicy, with_options
from regild.host.address import Reach
from regild.host.fetch import Fetcher, Patience
from regild.model.content import Content, Source
from regild.model.progress import Silent
from tests.feeds.repositories import (
    NOW,
    Deb,
    Suite,
    certificate,
    content_of,
    fingerprint,
    publish,
    release_text,
    write_release,
)
from tests.feeds.servers import Answer, serve, serve_folder

URI = "http://mirror.example/debian"
SOURCE = Source("apt", URI, "stable", ("main",))
DEBS = (Deb("a", "1.0"), Deb("a", "2.0"), Deb("b", "1:3-1", "all", {"Source": "bs (3-1)"}))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def read(
    mirror: Path, content: Content | None = None, policy: SitePolicy | None = None
) -> Available:
    """Read the repository of a folder as an image would."""
    content = content or content_of((), (SOURCE,))
    policy = policy or with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    return refresh(content, policy, mirror.parent / "cache", NOW, Silent())


def test_reads_what_a_repository_offers(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    available = read(mirror)
    found = available.find_release("b", "1:3-1", "amd64")
    assert found is not None
    assert (found.source, found.source_version, found.suite) == ("bs", "3-1", "stable")
    assert found.archive.uri == f"{URI}/{DEBS[2].file_name}"
    assert found.archive.name == "b_1%3a3-1_all.deb"
    content = (mirror / DEBS[2].file_name).read_bytes()
    assert found.archive.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert found.archive.bytes == len(content)
    newest = available.find_newest("a", "amd64")
    assert newest is not None and newest.version == "2.0"
    assert available.find_release("a", "3.0", "amd64") is None
    assert available.find_newest("none", "amd64") is None
    assert available.feeds[0].date == "2026-05-31T12:00:00Z"
    assert len(available.feeds[0].signed_by) == 1


@pytest.mark.parametrize("form", ["", ".xz", ".gz", ".zst", ".bz2"])
@pytest.mark.parametrize("by_hash", [True, False])
def test_every_form_of_an_index_is_read(mirror: Path, form: str, by_hash: bool) -> None:
    listed = ("", form) if form else ("",)
    publish(mirror, Suite(DEBS, forms=(form,), listed=listed, by_hash=by_hash))
    assert set(read(mirror).names) == {"a", "b"}


def test_an_index_that_is_listed_packed_only_is_read(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, forms=(".gz",)))
    assert set(read(mirror).names) == {"a", "b"}
    assert set(read(mirror).names) == {"a", "b"}


def test_a_detached_signature_is_as_good(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, detached=True))
    assert set(read(mirror).names) == {"a", "b"}


def test_packages_for_all_architectures_may_stand_apart(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, architectures=("all", "amd64"), all_within=False))
    assert set(read(mirror).names) == {"a", "b"}


def test_a_suite_may_be_named_by_its_codename(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, codename="bookworm"))
    (mirror / "dists" / "bookworm").symlink_to("stable")
    available = read(mirror, content_of((), (replace(SOURCE, suite="bookworm"),)))
    assert available.feeds[0].codename == "bookworm"


def test_a_flat_repository_is_read(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    flat = mirror / "flat"
    flat.mkdir()
    text = (mirror / "dists/stable/main/binary-amd64/Packages").read_bytes()
    (flat / "Packages").write_bytes(text)
    write_release(flat, release_text(Suite(()), {"Packages": text}), Suite(()))
    available = read(mirror, content_of((), (replace(SOURCE, suite="flat/", components=()),)))
    assert set(available.names) == {"a", "b"}


def test_repositories_are_read_over_the_network_and_indexes_only_once(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, by_hash=True))
    with serve_folder(mirror) as server:
        policy = with_options(SitePolicy(), mirrors=(f"{URI}={server.url}",))
        read(mirror, policy=policy)
        first = len(server.paths)
        read(mirror, policy=policy)
    assert first == 2
    assert server.paths[first:] == ["/dists/stable/InRelease"]


def test_a_damaged_cache_is_made_anew(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    read(mirror)
    for path in (mirror.parent / "cache" / "sha256").glob("*/*"):
        path.write_bytes(b"damaged")
    assert set(read(mirror).names) == {"a", "b"}


def test_a_folder_of_repositories_needs_no_network(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror / "mirror.example" / "debian", Suite(DEBS))
    publish(mirror, Suite((Deb("c"),), name="other"))

    def unplugged(*args: object, **rest: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", unplugged)
    content = content_of((), (SOURCE, replace(SOURCE, suite="other")))
    available = read(mirror, content, with_options(SitePolicy(), offline=mirror))
    assert set(available.names) == {"a", "b", "c"}
    with pytest.raises(FeedUnreachable):
        read(
            mirror,
            content_of((), (replace(SOURCE, suite="third"),)),
            SitePolicy(offline=str(mirror)),
        )


def test_a_security_repository_is_known_by_label_or_suite(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, name="stable"))
    publish(mirror, Suite(DEBS, name="stable-security"))
    publish(mirror, Suite(DEBS, name="x", label="Debian-Security"))
    suites = ("stable", "stable-security", "x")
    available = read(mirror, content_of((), [replace(SOURCE, suite=suite) for suite in suites]))
    assert [feed.security for feed in available.feeds] == [False, True, True]
    found = available.find_release("a", "2.0", "amd64")
    assert found is not None and found.security and found.suite == "stable-security"


# --- refusals


def refused(kind: type[RegildError], mirror: Path, content: Content | None = None) -> str:
    with pytest.raises(kind) as caught:
        read(mirror, content)
    assert type(caught.value) is kind
    return str(caught.value)


def test_an_unknown_key_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, signers=("stranger",)))
    assert "signed by key" in refused(UnknownKey, mirror)


def test_an_image_without_keys_trusts_nobody(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    content = content_of((), (replace(SOURCE, trusted=True),), keyrings=())
    assert "no usable key" in refused(BadSignature, mirror, content)


def test_trusted_yes_is_not_followed(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, signers=("stranger",)))
    refused(UnknownKey, mirror, content_of((), (replace(SOURCE, trusted=True),)))


def test_an_altered_byte_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    path = mirror / "dists/stable/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Label: Test", b"Label: Tesd"))
    assert "not what" in refused(BadSignature, mirror)


def test_a_release_without_a_signature_is_unreachable(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, detached=True))
    (mirror / "dists/stable/Release.gpg").unlink()
    refused(FeedUnreachable, mirror)


def test_an_expired_release_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, valid_until=NOW - timedelta(seconds=1)))
    assert "valid until 2026-06-01" in refused(Expired, mirror)


def test_a_release_that_is_still_valid_is_not(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, valid_until=NOW + timedelta(seconds=1)))
    assert read(mirror).feeds[0].valid_until == "2026-06-01T12:00:01Z"


def test_another_suites_release_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, name="old"))
    (mirror / "dists" / "stable").symlink_to("old")
    assert "stable was asked for, it is old" in refused(WrongRelease, mirror)


def test_an_altered_index_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, forms=("",)))
    path = mirror / "dists/stable/main/binary-amd64/Packages"
    path.write_bytes(path.read_bytes().replace(b"Version: 2.0", b"Version: 0.2"))
    refused(DigestMismatch, mirror)


def test_a_truncated_index_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, forms=("",)))
    path = mirror / "dists/stable/main/binary-amd64/Packages"
    path.write_bytes(path.read_bytes()[:-10])
    refused(Truncated, mirror)


def test_an_index_that_unpacks_to_less_or_other_bytes_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    top = mirror / "dists/stable"
    plain = (top / "main/binary-amd64/Packages").read_bytes()
    for text in (plain[:-1], plain.replace(b"2.0", b"0.2")):
        packed = lzma.compress(text)
        (top / "main/binary-amd64/Packages.xz").write_bytes(packed)
        files = {"main/binary-amd64/Packages": plain, "main/binary-amd64/Packages.xz": packed}
        write_release(top, release_text(Suite(()), files), Suite(()))
        refused(DigestMismatch, mirror)


def test_an_xz_bomb_stops_at_the_size_that_was_signed(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    top = mirror / "dists/stable"
    bomb = lzma.compress(b"\0" * (64 << 20))
    (top / "main/binary-amd64/Packages.xz").write_bytes(bomb)
    files = {"main/binary-amd64/Packages": b"x" * (1 << 20), "main/binary-amd64/Packages.xz": bomb}
    write_release(top, release_text(Suite(()), files), Suite(()))
    refused(TooLarge, mirror)
    assert not list((mirror.parent / "cache").glob("sha256/*/*"))


def test_xz_that_wants_too_much_memory_is_refused(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    top = mirror / "dists/stable"
    plain = b"Package: a\n"
    # The size of the dictionary is only declared: one byte of the block header.
    packed = _with_large_dictionary(lzma.compress(plain))
    (top / "main/binary-amd64/Packages.xz").write_bytes(packed)
    files = {"main/binary-amd64/Packages": plain * 99, "main/binary-amd64/Packages.xz": packed}
    write_release(top, release_text(Suite(()), files), Suite(()))
    assert "memory" in refused(TooLarge, mirror)


def _with_large_dictionary(packed: bytes) -> bytes:
    import zlib

    header = bytearray(packed[12:20])
    header[4] = 38  # 2^31 bytes (xz file format, 5.3.1)
    return packed[:12] + header + zlib.crc32(header).to_bytes(4, "little") + packed[24:]


def test_what_is_not_xz_is_malformed(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    top = mirror / "dists/stable"
    (top / "main/binary-amd64/Packages.xz").write_bytes(b"not xz")
    files = {"main/binary-amd64/Packages": b"x" * 99, "main/binary-amd64/Packages.xz": b"not xz"}
    write_release(top, release_text(Suite(()), files), Suite(()))
    refused(Malformed, mirror)


def test_an_index_that_is_promised_and_absent_is_told(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, forms=(), listed=("", ".xz")))
    refused(NotOffered, mirror)


def test_a_component_that_the_release_does_not_have_is_noted(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    notes: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    content = content_of((), (replace(SOURCE, components=("main", "extra")),))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    refresh(content, policy, mirror.parent / "cache", NOW, Notes())
    assert notes == [f"{URI} stable has no extra/binary-amd64/Packages, which the image asks for"]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/d", "http://10.0.0.1/d", "file:/srv", "http://[::1]/"]
)
def test_a_private_address_is_refused_before_anything_is_read(mirror: Path, uri: str) -> None:
    refused(SourceRefused, mirror, content_of((), (replace(SOURCE, uri=uri),)))


def test_a_redirect_to_a_private_address_is_refused(mirror: Path) -> None:
    answer = Answer(status=302, to="http://169.254.169.254/InRelease")
    with serve({"/dists/stable/InRelease": answer}) as server:
        policy = with_options(SitePolicy(), mirrors=(f"{URI}={server.url}",))
        with pytest.raises(SourceRefused):
            read(mirror, policy=policy)


def test_an_unreachable_mirror_is_retryable(mirror: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={url}",))
    reader = Fetcher(Reach(hosts=frozenset(("127.0.0.1",))), Patience(attempts=2, first_pause=0))
    with pytest.raises(FeedUnreachable) as caught:
        refresh(content_of((), (SOURCE,)), policy, mirror / "cache", NOW, Silent(), reader)
    assert caught.value.retryable


def test_an_image_without_sources_is_not_up_to_date(mirror: Path) -> None:
    refused(PlanError, mirror, content_of((), ()))
    refused(PlanError, mirror, content_of((), (replace(SOURCE, enabled=False),)))


@pytest.mark.parametrize(
    "change",
    [
        {"components": ("../x",)}, {"components": ()}, {"suite": "a/../b"}, {"suite": "../"},
        {"suite": "x y"}, {"suite": "a//b"}, {"architectures": ("a/b/../c",)}, {"suite": "a%2e"},
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        merged_sources([replace(SOURCE, **change)], ("amd64",))


def test_the_same_suite_named_twice_is_one_source() -> None:
    two = replace(SOURCE, uri=f"{URI}/", components=("contrib",))
    (merged,) = merged_sources([SOURCE, two], ("amd64", "i386"))
    assert merged.components == ("main", "contrib")
    assert merged.architectures == ("amd64", "i386")
    with pytest.raises(Ambiguous):
        merged_sources([SOURCE, replace(two, signed_by=("/x.gpg",))], ("amd64",))


def test_the_key_of_another_source_does_not_count(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    signed = replace(SOURCE, signed_by=("/usr/share/keyrings/other.gpg",))
    refused(BadSignature, mirror, content_of((), (signed,)))


def test_the_embedded_key_counts(mirror: Path) -> None:
    from pysequoia import ArmorKind, armor

    publish(mirror, Suite(DEBS))
    text = armor(certificate(), ArmorKind.PublicKey)
    content = content_of((), (replace(SOURCE, signed_by=(text,)),), keyrings=())
    assert set(read(mirror, content).names) == {"a", "b"}


def narrowed(mirror: Path, *fingerprints: str) -> SitePolicy:
    """The policy of a site that names who may sign."""
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    return replace(policy, keys=(SignedBy("http://mirror.example", fingerprints),))


def test_the_site_narrows_what_the_image_trusts(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    assert read(mirror, policy=narrowed(mirror, fingerprint())).find_newest("a", "amd64")
    with pytest.raises(UnknownKey):
        read(mirror, policy=narrowed(mirror, fingerprint("other")))


def test_the_site_does_not_widen_what_the_image_trusts(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, signers=("stranger",)))
    with pytest.raises(UnknownKey):
        read(mirror, policy=narrowed(mirror, fingerprint("stranger")))


def test_a_release_without_an_end_is_as_old_as_the_site_lets_it_be(mirror: Path) -> None:
    publish(mirror, Suite(DEBS, date=NOW - timedelta(days=9)))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    assert read(mirror, policy=replace(policy, max_age_days=10))
    with pytest.raises(Expired, match="9 days old"):
        read(mirror, policy=replace(policy, max_age_days=8))
    # What says its own end is believed until then.
    dated = Suite(DEBS, date=NOW - timedelta(days=9), valid_until=NOW + timedelta(days=1))
    publish(mirror, dated)
    assert read(mirror, policy=replace(policy, max_age_days=8))


def test_an_older_release_than_before_is_refused_at_the_same_place_only(
    mirror: Path, tmp_path: Path
) -> None:
    publish(mirror, Suite(DEBS))
    read(mirror)
    older = Suite(DEBS, date=NOW - timedelta(days=2))
    publish(mirror, older)
    refused(RolledBack, mirror)
    refused(RolledBack, mirror)
    publish(tmp_path / "second", older)
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={tmp_path}/second",))
    assert read(mirror, policy=policy)
    first = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    assert read(mirror, policy=replace(first, accept_older=True))
    assert read(mirror)


def spoil_text(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    path = mirror / "dists/stable/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Label: Test", b"Label: Tesd"))


def spoil_index(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(mirror: Path) -> None:
        publish(mirror, Suite(DEBS, forms=(".xz",)))
        path = mirror / "dists/stable/main/binary-amd64/Packages.xz"
        path.write_bytes(change(path.read_bytes()))

    return spoil


def spoil_with_a_bomb(mirror: Path) -> None:
    """An index that unpacks to more than its release promises."""
    suite = Suite(DEBS, forms=(".xz",))
    top = mirror / "dists/stable"
    bomb = lzma.compress(b"\0" * (4 << 20))
    files = {"main/binary-amd64/Packages": b"small", "main/binary-amd64/Packages.xz": bomb}
    place = top / "main/binary-amd64/Packages.xz"
    place.parent.mkdir(parents=True)
    place.write_bytes(bomb)
    write_release(top, release_text(suite, files), suite)


def spoil_the_time(mirror: Path) -> None:
    publish(mirror, Suite(DEBS))
    read(mirror)
    publish(mirror, Suite(DEBS, date=NOW - timedelta(days=2)))


REFUSALS: dict[type[RegildError], Callable[[Path], None]] = {
    BadSignature: spoil_text,
    UnknownKey: lambda mirror: publish(mirror, Suite(DEBS, signers=("stranger",))),
    Expired: lambda mirror: publish(mirror, Suite(DEBS, valid_until=NOW - timedelta(hours=1))),
    RolledBack: spoil_the_time,
    DigestMismatch: spoil_index(lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    Truncated: spoil_index(lambda content: content[:-1]),
    TooLarge: spoil_with_a_bomb,
}


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.__name__)
def test_every_refusal_is_an_error_of_its_own(mirror: Path, kind: type[RegildError]) -> None:
    REFUSALS[kind](mirror)
    assert refused(kind, mirror)


def test_a_refused_source_and_a_redirect_to_one_are_told_apart(tmp_path: Path) -> None:
    away = {"/debian/dists/stable/InRelease": Answer(status=302, to="http://10.0.0.1/x")}
    with serve(away) as server:
        content = content_of((), (replace(SOURCE, uri=f"{server.url}/debian"),))
        with pytest.raises(SourceRefused) as caught:
            read(tmp_path / "m", content, SitePolicy())
        assert type(caught.value) is SourceRefused
        allowed = with_options(SitePolicy(), allow=(f"127.0.0.1:{server.port}",))
        with pytest.raises(RedirectRefused):
            read(tmp_path / "m", content, allowed)
