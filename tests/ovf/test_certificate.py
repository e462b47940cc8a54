"""A signature over the manifest: each way in which it can be wrong has its own answer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import Expired, Malformed, UnsupportedFormat, UsageError
from regild.ovf.certificate import check_certificate, read_certificate, sign_manifest
from tests.ovf.authorities import DAY, NOW, Holder, holder

MANIFEST = b"SHA256(vm.ovf)= " + b"0" * 64 + b"\n"
NAME = "vm.mf"


@pytest.fixture(scope="module")
def authority() -> Holder:
    return holder("An authority", authority=True)


@pytest.fixture(scope="module")
def signer(authority: Holder) -> Holder:
    return holder("A signer", authority, rsa_bits=2048)


def signed(by: Holder, *further: Holder) -> bytes:
    chain = by.pem + b"".join(one.pem for one in further)
    return sign_manifest(MANIFEST, NAME, by.key, chain, NOW)


def state(content: bytes, trusted: Holder | None, manifest: bytes = MANIFEST) -> str:
    return check_certificate(content, manifest, NAME, NOW, trusted.pem if trusted else None).state


def test_valid(authority: Holder, signer: Holder) -> None:
    found = check_certificate(signed(signer), MANIFEST, NAME, NOW, authority.pem)
    assert found.state == "valid"
    assert found.subject == "CN=A signer"
    assert found.issuer == "CN=An authority"
    assert found.until == "2026-12-02T12:00:00Z"
    assert found.algorithm == "sha256"
    assert state(signed(holder("e", authority)), authority) == "valid"


def test_the_form_is_that_of_the_field(signer: Holder) -> None:
    line, begin, *_ = signed(signer).decode().split("\n")
    assert line.startswith("SHA256(vm.mf)= ")
    assert len(line) == len("SHA256(vm.mf)= ") + 512
    assert begin == "-----BEGIN CERTIFICATE-----"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_agrees(signer: Holder, tmp_path: Path) -> None:
    content = signed(signer)
    (tmp_path / "mf").write_bytes(MANIFEST)
    (tmp_path / "sig").write_bytes(read_certificate(content).signature)
    (tmp_path / "pem").write_bytes(content[content.index(b"-----BEGIN") :])
    (tmp_path / "key").write_bytes(signer.key)
    script = "openssl x509 -in pem -noout -pubkey > pub; "
    script += "openssl dgst -sha256 -verify pub -signature sig mf"
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True, capture_output=True)
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", "key", "mf"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert made.stdout == read_certificate(content).signature


def test_unchecked_where_nobody_is_trusted(signer: Holder) -> None:
    assert state(signed(signer), None) == "unchecked"


def test_untrusted_by_another_authority(signer: Holder) -> None:
    assert state(signed(signer), holder("Another authority", authority=True)) == "untrusted"
    assert state(signed(signer), holder("An authority", authority=True)) == "untrusted"


def test_self_signed_unless_it_is_trusted_itself() -> None:
    alone = holder("Alone")
    assert state(signed(alone), holder("x", authority=True)) == "self-signed"
    assert state(signed(alone), alone) == "valid"


def test_expired_and_not_yet_valid(authority: Holder) -> None:
    for begin, end in ((-9, -1), (1, 9)):
        made = holder("late", authority, begin=NOW + begin * DAY, end=NOW + end * DAY)
        with pytest.raises(Expired):
            signed(made)
        then = NOW + (begin + 1) * DAY
        content = sign_manifest(MANIFEST, NAME, made.key, made.pem, then)
        assert state(content, authority) == "expired"
        assert check_certificate(content, MANIFEST, NAME, then, authority.pem).state == "valid"


def test_expired_where_the_authority_is() -> None:
    old = holder("old", authority=True, end=NOW - DAY)
    assert state(signed(holder("x", old)), old) == "expired"


def test_corrupted_where_the_manifest_was_changed(authority: Holder, signer: Holder) -> None:
    assert state(signed(signer), authority, MANIFEST + b" ") == "corrupted"
    found = check_certificate(signed(signer), MANIFEST + b" ", NAME, NOW, authority.pem)
    assert "changed after it was signed" in found.why


def test_corrupted_where_it_signs_another_file(authority: Holder, signer: Holder) -> None:
    assert (
        check_certificate(signed(signer), MANIFEST, "o.mf", NOW, authority.pem).state == "corrupted"
    )


@pytest.mark.parametrize("curve", [True, False])
def test_wrong_key(authority: Holder, signer: Holder, curve: bool) -> None:
    other = holder("Other", authority) if curve else holder("Other", authority, rsa_bits=2048)
    line = signed(other).split(b"-----BEGIN")[0]
    foreign = holder("A signer", authority).pem if curve else signer.pem
    assert state(line + foreign, authority) == "wrong-key"


def test_weak_keys_and_digests(authority: Holder, shared: Path) -> None:
    assert state(signed(holder("weak", authority, rsa_bits=1024)), authority) == "weak"
    folder = shared / "corpus/ovf/Awingu__open-ovf/py/tests/test_files"
    found = check_certificate(
        (folder / "ourOVF.cert").read_bytes(), (folder / "ourOVF.mf").read_bytes(), "ourOVF.mf", NOW
    )
    assert found.state == "weak"
    assert found.subject.startswith("CN=www.scott.mosers.us")


def test_a_chain_is_followed_as_far_as_it_goes(authority: Holder) -> None:
    middle = holder("Middle", authority, authority=True)
    signer = holder("S", middle)
    assert state(signed(signer, middle), authority) == "valid"
    assert state(signed(signer), authority) == "untrusted"
    assert state(signed(signer), middle) == "valid"


def test_who_is_no_authority_cannot_vouch(authority: Holder) -> None:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    names += " crl_sign encipher_only decipher_only"
    usage = dict.fromkeys(names.split(), False)
    plain = holder("plain", authority)
    assert state(signed(holder("S", plain), plain), authority) == "untrusted"
    short = holder("short", authority=True, path_length=0)
    middle = holder("middle", short, authority=True)
    assert state(signed(holder("S", middle), middle), short) == "untrusted"
    wrong = x509.KeyUsage(**usage, key_cert_sign=False)
    barred = holder("barred", authority=True, extensions=((wrong, True),))
    assert state(signed(holder("S", barred)), barred) == "untrusted"
    unsigning = holder("S", authority, extensions=((wrong, True),))
    assert state(signed(unsigning), authority) == "untrusted"


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        (ExtendedKeyUsageOID.CODE_SIGNING, "valid"),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, "valid"),
        (ExtendedKeyUsageOID.SERVER_AUTH, "untrusted"),
    ],
)
def test_a_certificate_for_other_purposes_does_not_sign(
    authority: Holder, purpose: x509.ObjectIdentifier, expected: str
) -> None:
    made = holder("S", authority, extensions=((x509.ExtendedKeyUsage([purpose]), False),))
    assert state(signed(made), authority) == expected


def test_a_critical_extension_that_is_strange_stops(authority: Holder) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    assert (
        state(signed(holder("S", authority, extensions=((strange, True),))), authority)
        == "untrusted"
    )
    assert (
        state(signed(holder("S", authority, extensions=((strange, False),))), authority) == "valid"
    )


def test_key_and_certificate_belong_together(signer: Holder) -> None:
    other = holder("other")
    for key, pem in (
        (other.key, signer.pem),
        (b"no key", signer.pem),
        (signer.key, b"no certificate"),
        (signer.key, signer.key),
    ):
        with pytest.raises(UsageError):
            sign_manifest(MANIFEST, NAME, key, pem, NOW)
    with pytest.raises(UsageError):
        check_certificate(signed(signer), MANIFEST, NAME, NOW, b"no certificate")


def test_other_kinds_of_keys_are_refused() -> None:
    made = holder("x")
    private = ed25519.Ed25519PrivateKey.generate()
    certificate = (
        x509.CertificateBuilder(made.certificate.issuer, made.certificate.subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(private, None)
    )
    with pytest.raises(UnsupportedFormat):
        key = Holder(private, certificate).key
        sign_manifest(
            MANIFEST, NAME, key, certificate.public_bytes(serialization.Encoding.PEM), NOW
        )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SHA256(vm.mf)= 00\n",
        b"SHA256(vm.mf)= 0\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        b"SHA256(vm.mf)= 00\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"\xff" * 100,
        b"SHA256(vm.mf)= 00\n" + b"-----BEGIN CERTIFICATE-----" * 50_000,
    ],
)
def test_what_is_no_certificate_is_corrupted(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_certificate(content)
    assert state(content, None) == "corrupted"


CONTENT = signed(holder("Fuzzed"))


@given(st.integers(0, len(CONTENT) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_certificate_is_never_more_than_it_was(at: int, other: bytes) -> None:
    damaged = CONTENT[:at] + other + CONTENT[at + len(other) :]
    assert check_certificate(damaged, MANIFEST, NAME, NOW).state in (
        "corrupted",
        "wrong-key",
        "weak",
        "expired",
        "unchecked",
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "content",
    [
        b"SHA256(vm.mf)= 00\n" + b"-----BEGIN CERTIFICATE-----" * 38_000,
        b"SHA256(vm.mf)= " + b" " * 1_000_000 + b"x-----BEGIN",
        b"SHA256(" + b") " * 500_000 + b"-----BEGIN",
    ],
)
def test_a_hostile_certificate_is_refused_soon(content: bytes) -> None:
    assert state(content, None) == "corrupted"
