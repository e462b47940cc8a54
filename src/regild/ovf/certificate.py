"""The certificate: a signature over the manifest and the X.509 certificate of who signed (.cert).

DSP0243, 5.1: one line as in a manifest, `SHA256(name.mf)= digits`, and PEM text. The digits are
the signature as OpenSSL's `dgst -sign` makes it: PKCS #1 v1.5 for RSA, DER for elliptic curves.
Further certificates behind the first one are those that lead to a trusted one (RFC 5280, 6.1,
without name constraints and policies: a certificate that asks for them is not trusted).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from regild.errors import Expired, Malformed, UnsupportedFormat, UsageError
from regild.model.appliance import SignatureState, SignatureStatus

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm
    from cryptography.x509 import Certificate

MAX_BYTES: Final = 1 << 20
MAX_CHAIN: Final = 8
MIN_RSA_BITS: Final = 2048
"""NIST SP 800-57: shorter ones are not strong enough since 2013."""
WEAK: Final = ("md5", "sha1")

_LINE = re.compile(
    rb"\s*+(MD5|SHA1|SHA2?-?256|SHA2?-?384|SHA2?-?512)\s*+\((.*)\)\s*+=\s*+([0-9A-Fa-f\s]++)\Z"
)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*+-----END CERTIFICATE-----")


ABSENT: Final = SignatureState("absent", "the package is not signed")


class Signed(NamedTuple):
    """A .cert file, read."""

    name: str
    """The file that is signed."""
    algorithm: str
    signature: bytes
    certificates: tuple[Certificate, ...]
    """That of the signer first."""


def sign_manifest(
    manifest: bytes, name: str, key: bytes, certificates: bytes, now: datetime
) -> bytes:
    """The .cert file for a manifest of the given name; key and certificates are PEM.

    Raises: UsageError when key and certificate do not belong together or cannot be read, Expired,
    UnsupportedFormat for keys that are neither RSA nor elliptic curves.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    signer, *_ = chain = _read_pem(certificates, "--cert")
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise UsageError(
            what=f"--key is no private key in PEM without a password: {error}"
        ) from error
    if _public(private.public_key()) != _public(signer.public_key()):
        raise UsageError(what="--key is not the key of the first certificate in --cert")
    late = _dates([signer], now)
    if late:
        raise Expired(where="--cert", why=late)
    if isinstance(private, rsa.RSAPrivateKey):
        signature = private.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        signature = private.sign(manifest, ec.ECDSA(hashes.SHA256()))
    else:
        raise UnsupportedFormat(where="--key", why="it is neither RSA nor an elliptic curve")
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    return f"SHA256({name})= {signature.hex()}\n".encode() + pem


def read_certificate(content: bytes, where: str = "the .cert") -> Signed:
    """Read a .cert file.

    Raises: Malformed.
    """
    head, begin, _ = content.partition(b"-----BEGIN")
    line = _LINE.match(head) if len(content) <= MAX_BYTES else None
    if line is None or not begin:
        raise Malformed(where=where, why="it is not one signature line and certificates in PEM")
    digits = b"".join(line[3].split())
    if len(digits) % 2:
        raise Malformed(where=where, why="its signature has half a byte too much")
    algorithm = line[1].decode()
    try:
        return Signed(
            name=line[2].decode(),
            algorithm=algorithm.lower() if algorithm in ("MD5", "SHA1") else f"sha{algorithm[-3:]}",
            signature=bytes.fromhex(digits.decode()),
            certificates=_read_pem(content, where),
        )
    except (UnicodeDecodeError, UsageError) as error:
        raise Malformed(where=where, why=str(error)) from error


def check_certificate(
    content: bytes, manifest: bytes, name: str, now: datetime, trusted: bytes | None = None
) -> SignatureState:
    """What a .cert file is worth for a manifest of the given name at a time.

    `trusted` holds certificates in PEM; without them nobody is trusted and nothing is refused for
    that. The worst that is true is said.

    Raises: UsageError when `trusted` cannot be read.
    """
    anchors = _read_pem(trusted, "--trust") if trusted is not None else None
    try:
        signed = read_certificate(content)
        signer = signed.certificates[0]
        said = {
            "subject": signer.subject.rfc4514_string(),
            "issuer": signer.issuer.rfc4514_string(),
            "until": signer.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "algorithm": signed.algorithm,
        }
        state, why = _judged(signed, manifest, name, now, anchors)
    except Malformed as error:
        return SignatureState("corrupted", error.why)
    except ValueError as error:
        return SignatureState("corrupted", f"the certificate is damaged: {error}")
    return SignatureState(state, why, **said)


def _judged(
    signed: Signed,
    manifest: bytes,
    name: str,
    now: datetime,
    anchors: Sequence[Certificate] | None,
) -> tuple[SignatureStatus, str]:
    signer = signed.certificates[0]
    if signed.name != name:
        return "corrupted", f"it signs {signed.name[:80]!r}, not {name!r}"
    broken = _broken(signed, manifest)
    if broken:
        return broken
    weak = _weakness(signed)
    if weak:
        return "weak", weak
    late = _dates([signer], now)
    if late:
        return "expired", late
    if anchors is None:
        return "unchecked", "the signature fits its certificate; --trust says whose to believe"
    if signer not in anchors and signer.issuer == signer.subject:
        return "self-signed", "the signer vouches only for itself"
    return _chained(signed.certificates, anchors, now)


def _broken(signed: Signed, manifest: bytes) -> tuple[SignatureStatus, str] | None:
    """Why a signature is not the certificate's over the manifest; None where it is."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    key = signed.certificates[0].public_key()
    hashed = _digest_kind(signed.algorithm)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signed.signature, manifest, padding.PKCS1v15(), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signed.signature, manifest, ec.ECDSA(hashed))
        else:
            return "corrupted", "the certificate's key is neither RSA nor an elliptic curve"
    except UnsupportedAlgorithm as error:
        return "weak", f"the signature cannot be checked here: {error}"
    except InvalidSignature:
        if not isinstance(key, rsa.RSAPublicKey):
            return "wrong-key", "the signature is not the certificate's over this manifest"
        try:
            # What an RSA key signed can be read back, so a changed manifest is told from another
            # key.
            key.recover_data_from_signature(signed.signature, padding.PKCS1v15(), hashed)
        except InvalidSignature:
            return "wrong-key", "the signature was not made with the certificate's key"
        return "corrupted", "the manifest was changed after it was signed"
    return None


def _weakness(signed: Signed) -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = signed.certificates[0].public_key()
    if signed.algorithm in WEAK:
        return f"it is signed with {signed.algorithm.upper()}, which can be forged"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return f"its RSA key has {key.key_size} bits, fewer than {MIN_RSA_BITS}"
    return ""


def _chained(
    chain: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime
) -> tuple[SignatureStatus, str]:
    """Whether the signer's certificate leads to a trusted one, step by step."""
    at, path = chain[0], [chain[0]]
    unfit = _unfit_to_sign(at)
    while not unfit and at not in anchors:
        issuer = next((one for one in (*anchors, *chain[1:]) if _issued(at, one)), None)
        if issuer is None or issuer in path or len(path) >= MAX_CHAIN:
            return "untrusted", f"nobody who is trusted vouches for {at.issuer.rfc4514_string()}"
        unfit = _unfit_to_vouch(issuer, len(path) - 1)
        path.append(issuer)
        at = issuer
    if unfit:
        return "untrusted", unfit
    late = _dates(path, now)
    if late:
        return "expired", late
    return "valid", f"signed by {chain[0].subject.rfc4514_string()}"


def _issued(subject: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    hashed = subject.signature_hash_algorithm
    return hashed is None or hashed.name not in WEAK


def _unfit_to_sign(signer: Certificate) -> str:
    """Why a certificate may not sign packages; empty where it may."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage = _extension(signer, x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
        return "the signer's certificate is not for signatures"
    purposes = _extension(signer, x509.ExtendedKeyUsage)
    wanted = (ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if isinstance(purposes, x509.ExtendedKeyUsage) and not any(one in wanted for one in purposes):
        return "the signer's certificate is for other purposes than signing code"
    return _strange(signer)


def _unfit_to_vouch(issuer: Certificate, between: int) -> str:
    """Why a certificate may not vouch for another one, with so many between it and the signer."""
    from cryptography import x509

    name = issuer.subject.rfc4514_string()
    limits = _extension(issuer, x509.BasicConstraints)
    if not isinstance(limits, x509.BasicConstraints) or not limits.ca:
        return f"{name} is not an authority"
    if limits.path_length is not None and limits.path_length < between:
        return f"{name} may not vouch for another authority"
    usage = _extension(issuer, x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        return f"{name} is not an authority"
    return _strange(issuer)


def _strange(certificate: Certificate) -> str:
    """A critical extension that is not understood here must stop us (RFC 5280, 4.2)."""
    from cryptography import x509

    known = (
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    )
    for one in certificate.extensions:
        if one.critical and one.oid not in known:
            return f"a certificate asks for {one.oid.dotted_string}, which is not understood"
    return ""


def _extension(certificate: Certificate, kind: type) -> object:
    return next((one.value for one in certificate.extensions if isinstance(one.value, kind)), None)


def _dates(chain: Sequence[Certificate], now: datetime) -> str:
    """Why a certificate is not valid at a time; empty where all are."""
    for one in chain:
        name = one.subject.rfc4514_string()
        if now < one.not_valid_before_utc:
            return f"{name} is valid from {one.not_valid_before_utc:%Y-%m-%d} on"
        if now > one.not_valid_after_utc:
            return f"{name} was valid until {one.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _read_pem(content: bytes, where: str) -> tuple[Certificate, ...]:
    from cryptography import x509

    found = _PEM.findall(content) if len(content) <= MAX_BYTES else []
    try:
        chain = tuple(x509.load_pem_x509_certificate(one) for one in found[:100])
        for one in chain:
            one.public_key()
            list(one.extensions)
    except Exception as error:  # the library raises many kinds, its own and Rust's
        raise UsageError(what=f"{where} holds a certificate that is damaged: {error}") from error
    if not chain:
        raise UsageError(what=f"{where} holds no certificate in PEM")
    return chain


def _public(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _digest_kind(algorithm: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    kinds: dict[str, type[HashAlgorithm]] = {
        "md5": hashes.MD5,
        "sha1": hashes.SHA1,
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
    }
    return kinds[algorithm]()
