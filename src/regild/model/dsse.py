"""Signed bytes: a payload, what kind it is, and signatures over both (DSSE v1.0.2).

Source: secure-systems-lab/dsse, protocol.md and envelope.md. Keys are PEM: Ed25519, NIST curves
(ECDSA, the hash by the curve) and RSA (PKCS #1 v1.5 with SHA-256; PSS is accepted too). Signing
draws no random numbers, so equal payloads and keys give equal bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from regild.errors import Malformed, SignatureRefused, TooLarge, UsageError
from regild.model.content import Value
from regild.model.digest import canonical
from regild.model.json import from_json_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

SIGNED_BYTES_MAX: Final = 64 << 20
SIGNATURES_MAX: Final = 16
KEYS_MAX: Final = 100
PEM_BYTES_MAX: Final = 1 << 20
MIN_RSA_BITS: Final = 2048
"""NIST SP 800-57: shorter ones are not strong enough since 2013."""
CURVES: Final = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}

_PEM = re.compile(rb"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----[^-]*+-----END \1-----")


class SignedBytes(msgspec.Struct, frozen=True):
    """Bytes that somebody signed, and the signatures; nothing is believed of them yet."""

    payload: bytes
    kind: str
    """The payload's type, as a media type."""
    signatures: tuple[tuple[str, bytes], ...]
    """The signer's name for the key, which is only a hint, and the signature."""


def sign_bytes(payload: bytes, kind: str, key: bytes) -> bytes:
    """Bytes and a signature over them as JSON; `key` is a private key in PEM, without a password.

    Raises: UsageError when the key cannot be read or is of a kind that is not used here.
    """
    private = read_private_key(key)
    signature = _sign(private, _authenticated(kind, payload))
    signed = _Form(
        payload=base64.b64encode(payload).decode(),
        kind=kind,
        signatures=(_Line(base64.b64encode(signature).decode(), key_id(private.public_key())),),
    )
    return canonical(signed) + b"\n"


def read_signed(content: bytes, where: str) -> SignedBytes:
    """Read what `sign_bytes` or another signer wrote; its signatures are not checked here.

    Raises: Malformed, TooLarge.
    """
    if len(content) > SIGNED_BYTES_MAX:
        raise TooLarge(where=where, why=f"it takes more than {SIGNED_BYTES_MAX >> 20} MiB")
    form = from_json_once(_Form, content, where)
    if not 0 < len(form.signatures) <= SIGNATURES_MAX:
        raise Malformed(where=where, why=f"it carries {len(form.signatures)} signatures")
    signatures = tuple((line.keyid, _decoded(line.sig, where)) for line in form.signatures)
    return SignedBytes(_decoded(form.payload, where), form.kind, signatures)


def check_signed(signed: SignedBytes, trusted: bytes, where: str) -> str:
    """The id of a trusted key that signed these bytes; `trusted` is PEM: public keys, or
    certificates, of which only the key counts.

    Raises: SignatureRefused, UsageError when `trusted` holds no key.
    """
    message = _authenticated(signed.kind, signed.payload)
    for key in read_keys(trusted):
        if any(_verifies(key, signature, message) for _, signature in signed.signatures):
            return key_id(key)
    why = "no key that is trusted signed these bytes"
    raise SignatureRefused(where=where, why=why, state="untrusted")


def read_keys(trusted: bytes) -> tuple[Any, ...]:
    """The public keys in some PEM text.

    Raises: UsageError when there is none, or one is damaged or of a kind that is not used here.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    found = list(_PEM.finditer(trusted)) if len(trusted) <= PEM_BYTES_MAX else []
    if not 0 < len(found) <= KEYS_MAX:
        raise UsageError(what="there is no public key or certificate in PEM to trust")
    keys = []
    for one in found:
        try:
            if one[1] == b"CERTIFICATE":
                key: Any = x509.load_pem_x509_certificate(one[0]).public_key()
            else:
                key = serialization.load_pem_public_key(one[0])
        except Exception as error:  # the library raises many kinds, its own and Rust's
            raise UsageError(what=f"a key that is to be trusted is damaged: {error}") from error
        keys.append(_usable(key))
    return tuple(keys)


def read_private_key(key: bytes) -> Any:
    """The private key in some PEM text, without a password.

    Raises: UsageError when it cannot be read or is of a kind that is not used here.
    """
    from cryptography.hazmat.primitives import serialization

    try:
        private = serialization.load_pem_private_key(key, None)
    except Exception as error:  # as in `read_keys`
        raise UsageError(
            what=f"the key is no private key in PEM without a password: {error}"
        ) from (error)
    _usable(private.public_key())
    return private


def key_id(public: Any) -> str:
    """A key's name: the SHA-256 of its SubjectPublicKeyInfo in DER, in hexadecimal digits."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


class _Line(Value, frozen=True):
    """One signature as it stands in JSON."""

    sig: str
    keyid: str = ""


class _Form(Value, frozen=True, rename={"kind": "payloadType"}):
    """Signed bytes as they stand in JSON."""

    payload: str
    kind: str
    signatures: tuple[_Line, ...]


def _authenticated(kind: str, payload: bytes) -> bytes:
    """What is signed (protocol.md, PAE): lengths keep kind and payload apart."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def _decoded(text: str, where: str) -> bytes:
    """Base64 in either alphabet (envelope.md)."""
    try:
        return base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(where=where, why=f"it is not base64: {error}") from error


def _usable(public: Any) -> Any:
    """The key, if it is of a kind that signs here and strong enough.

    Raises: UsageError.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES:
        return public
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= MIN_RSA_BITS:
        return public
    raise UsageError(what="a key is neither Ed25519, P-256, P-384, P-521, nor RSA of 2048 bits")


def _sign(private: Any, message: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    signature: bytes
    if isinstance(private, rsa.RSAPrivateKey):
        signature = private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = ec.ECDSA(_digest_of(private.curve.name), deterministic_signing=True)
        signature = private.sign(message, algorithm)
    else:
        signature = private.sign(message)
    return signature


def _verifies(public: Any, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    ways: list[tuple[Any, ...]] = [()]
    if isinstance(public, rsa.RSAPublicKey):
        sha = hashes.SHA256()
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
        ways = [(padding.PKCS1v15(), sha), (pss, sha)]
    elif isinstance(public, ec.EllipticCurvePublicKey):
        ways = [(ec.ECDSA(_digest_of(public.curve.name)),)]
    for way in ways:
        try:
            public.verify(signature, message, *way)
        except InvalidSignature:
            continue
        return True
    return False


def _digest_of(curve: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    found: HashAlgorithm = getattr(hashes, CURVES[curve])()
    return found
