"""Signed bytes are read by others, and others' are read here; nothing unsigned is believed."""

from __future__ import annotations

import copy
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirForm
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from regild.errors import Malformed, RegildError, SignatureRefused, UsageError
from regild.model.dsse import check_signed, read_signed, sign_bytes
from tests.ovf.authorities import holder

KIND = "application/vnd.in-toto+json"
PAYLOAD = b'{"_type":"x"}'
KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
}
SCHEMES = {"RSA": "rsa-pkcs1v15-sha256", "P-521": "ecdsa-sha2-nistp521"}


def private_pem(key) -> bytes:  # type: ignore[no-untyped-def]  # any private key
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem(key) -> bytes:  # type: ignore[no-untyped-def]  # any private key
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_signed_is_believed_with_the_key_and_equal_each_time(kind: str) -> None:
    content = sign_bytes(PAYLOAD, KIND, private_pem(KEYS[kind]))
    signed = read_signed(content, "it")
    assert (signed.payload, signed.kind) == (PAYLOAD, KIND)
    assert check_signed(signed, public_pem(KEYS[kind]), "it") == signed.signatures[0][0]
    assert sign_bytes(PAYLOAD, KIND, private_pem(KEYS[kind])) == content


@pytest.mark.parametrize("kind", sorted(set(KEYS) - {"P-521"}))
def test_the_reference_library_believes_what_is_signed_here(kind: str) -> None:
    key = SSlibKey.from_crypto(KEYS[kind].public_key(), scheme=SCHEMES.get(kind))
    form = json.loads(sign_bytes(PAYLOAD, KIND, private_pem(KEYS[kind])))
    form["signatures"][0]["keyid"] = key.keyid
    TheirForm.from_dict(copy.deepcopy(form)).verify([key], 1)
    form["payload"] = "AAAA"
    with pytest.raises(VerificationError):
        TheirForm.from_dict(form).verify([key], 1)


@pytest.mark.parametrize("kind", sorted(set(KEYS) - {"P-521"}))
def test_what_the_reference_library_signs_is_believed_here(kind: str) -> None:
    form = TheirForm(PAYLOAD, KIND, {})
    form.sign(CryptoSigner(KEYS[kind]))  # RSA: PSS
    signed = read_signed(json.dumps(form.to_dict()).encode(), "theirs")
    assert check_signed(signed, public_pem(KEYS[kind]), "theirs")


def test_a_certificate_may_stand_for_its_key() -> None:
    signer = holder("Signer")
    content = sign_bytes(PAYLOAD, KIND, signer.key)
    assert check_signed(read_signed(content, "it"), signer.pem, "it")


@pytest.mark.parametrize("field", ["payload", "payloadType"])
def test_a_changed_payload_or_kind_is_refused(field: str) -> None:
    content = json.loads(sign_bytes(PAYLOAD, KIND, private_pem(KEYS["P-256"])))
    content[field] = "AAAA"
    signed = read_signed(json.dumps(content).encode(), "it")
    with pytest.raises(SignatureRefused):
        check_signed(signed, public_pem(KEYS["P-256"]), "it")


def test_another_key_is_refused() -> None:
    content = sign_bytes(PAYLOAD, KIND, private_pem(KEYS["P-256"]))
    for other in ("ed25519", "P-384", "RSA"):
        with pytest.raises(SignatureRefused):
            check_signed(read_signed(content, "it"), public_pem(KEYS[other]), "it")


def test_the_second_trusted_key_counts_too() -> None:
    content = sign_bytes(PAYLOAD, KIND, private_pem(KEYS["ed25519"]))
    trusted = public_pem(KEYS["RSA"]) + public_pem(KEYS["ed25519"])
    assert check_signed(read_signed(content, "it"), trusted, "it")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"payload":"AA==","payloadType":"x","signatures":[]}',
        b'{"payload":"*","payloadType":"x","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"AA==","payloadType":"x","signatures":[{"sig":"A"}]}',
        b'{"payload":7,"payloadType":"x","signatures":[{"sig":"AA=="}]}',
    ],
)
def test_what_is_not_signed_bytes_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_signed(content, "it")


def test_weak_and_strange_keys_are_refused() -> None:
    for key in (
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
    ):
        with pytest.raises(UsageError):
            sign_bytes(PAYLOAD, KIND, private_pem(key))
    with pytest.raises(UsageError):
        check_signed(read_signed(sign_bytes(b"", KIND, private_pem(KEYS["RSA"])), "it"), b"x", "it")


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_payload_and_kind_come_back(payload: bytes, kind: str) -> None:
    key = private_pem(KEYS["ed25519"])
    try:
        signed = read_signed(sign_bytes(payload, kind, key), "it")
    except (RegildError, UnicodeEncodeError):
        assert any(0xD800 <= ord(one) < 0xE000 for one in kind)
        return
    assert (signed.payload, signed.kind) == (payload, kind)
    assert check_signed(signed, public_pem(KEYS["ed25519"]), "it")
