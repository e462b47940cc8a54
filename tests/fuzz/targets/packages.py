"""What reads an appliance: its envelope, descriptor, manifest, archive, certificate and texts."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from regild.errors import RegildError, UnsafeName
from tests.fuzz.targets.target import Target, file_of, folder, shared, texts


def run_envelope(content: bytes) -> None:
    """Read, edit in place, and give back what was there."""
    from regild.ovf.content import insert_descriptor, strip_descriptor
    from regild.ovf.envelope import read_envelope
    from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes, remove_file
    from tests.ovf.samples import rich_descriptor

    found = read_envelope(content)
    patch_sizes(content, {one.id: 5 for one in found.files}, {"vmdisk1": DiskPatch(1, 2, "x")})
    with contextlib.suppress(RegildError):
        assert remove_file(add_file(content, "new", "new.json", 5), "new") == content
    ids = [one.id for one in found.systems]
    plain = strip_descriptor(content)
    for system in found.systems[:2]:
        if ids.count(system.id) == 1 and plain == content:
            described = insert_descriptor(content, rich_descriptor(), system.id)
            assert strip_descriptor(described) == content


def run_descriptor(content: bytes) -> None:
    """Read a descriptor; what was read is written and read again."""
    from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor

    found = read_descriptor(content)
    if found is not None:
        again = insert_descriptor(strip_descriptor(content), found)
        assert read_descriptor(again) == found


def run_manifest(content: bytes) -> None:
    """Read a manifest; ours says the same."""
    from regild.ovf.manifest import read_manifest, write_manifest

    entries = read_manifest(content)
    with contextlib.suppress(UnsafeName):
        assert read_manifest(write_manifest(entries)) == entries


def run_tar(content: bytes) -> None:
    """Walk an archive, and open it as an OVA."""
    from regild.ovf.archive import open_appliance
    from regild.ovf.tar import read_places

    for place in read_places(io.BytesIO(content), "the archive"):
        assert 0 <= place.offset <= place.offset + place.bytes <= len(content)
    path = file_of(content)
    for complete in (False, True):
        with open_appliance(path, complete=complete):
            pass


def run_lint(content: bytes) -> None:
    """Lint a bare .ovf."""
    from regild.ovf.lint.check import check_package
    from regild.ovf.lint.survey import survey_package

    check_package(survey_package(file_of(content, ".ovf")))


def run_certificate(content: bytes) -> None:
    """Read a certificate file."""
    from regild.ovf.certificate import read_certificate

    read_certificate(content)


def run_bundle(content: bytes) -> None:
    """Read a message bundle."""
    from regild.ovf.messages import read_bundle

    read_bundle(content, "the bundle")


def seeds_of_envelopes() -> Iterator[bytes]:
    """Envelopes of every generation, and of the corpus where it is there."""
    from tests.ovf.samples import envelope, system
    from tests.ovf.test_envelope import DRAFT

    yield from (envelope(), envelope(systems=system("a") + system("b")), DRAFT)
    yield from itertools.islice(shared("ovf", "*.ovf", 20_000), 0, 400, 12)


def seeds_of_descriptors() -> Iterator[bytes]:
    """The conformance kit's descriptors, and one with everything in it."""
    from regild.ovf.content import insert_descriptor
    from tests.ovf.samples import envelope, rich_descriptor

    yield insert_descriptor(envelope(), rich_descriptor())
    kit = Path(__file__).parents[3] / "docs/spec/conformance"
    for path in sorted(kit.rglob("*.ovf")):
        yield path.read_bytes()


def seeds_of_manifests() -> Iterator[bytes]:
    """Manifests as several tools write them."""
    digest = "0" * 64
    for form in ("SHA256(a.ovf)= {}\n", "SHA256 (a.ovf) = {}\r\n", "sha256(a.ovf)={}"):
        yield form.format(digest).encode()
    yield b"SHA1(disk 1.vmdk)= " + b"a" * 40 + b"\n" + b"SHA512(b)= " + b"b" * 128 + b"\n"


def seeds_of_archives() -> Iterator[bytes]:
    """Small OVAs of every style of tar."""
    import tarfile

    from tests.ovf.lint.packages import clean, pack

    path = folder() / "seed.ova"
    for style in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        long = {} if style == tarfile.USTAR_FORMAT else {"n" * 120: b"x"}
        files = {**clean(), **long}
        yield pack(path, files, style).read_bytes()


def seeds_of_certificates() -> Iterator[bytes]:
    """A signed manifest, as we and as others write it."""
    from regild.ovf.certificate import sign_manifest
    from tests.ovf.authorities import NOW, holder

    one = holder("a signer")
    yield sign_manifest(b"SHA256(a)= 0\n", "a.mf", one.key, one.pem, NOW)
    yield from shared("ovf", "*.cert", 20_000)


TARGETS: dict[str, Target] = {
    "envelope": Target(run_envelope, seeds_of_envelopes),
    "descriptor": Target(run_descriptor, seeds_of_descriptors),
    "manifest": Target(run_manifest, seeds_of_manifests),
    "tar": Target(run_tar, seeds_of_archives),
    "lint": Target(run_lint, seeds_of_envelopes),
    "certificate": Target(run_certificate, seeds_of_certificates),
    "bundle": Target(
        run_bundle,
        texts('<Strings xmlns="urn:x" xml:lang="en"><Msg msgid="a">A name</Msg></Strings>'),
    ),
}
