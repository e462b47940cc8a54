"""Keys and certificates of every kind, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Holder:
    """A key and its certificate, in PEM and as objects."""

    private: Any
    certificate: x509.Certificate

    @property
    def key(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def holder(
    name: str,
    issuer: Holder | None = None,
    *,
    authority: bool = False,
    rsa_bits: int = 0,
    begin: datetime = NOW - 10 * DAY,
    end: datetime = NOW + 10 * DAY,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    path_length: int | None = None,
) -> Holder:
    """A holder whose certificate the issuer signed, or it itself."""
    private: Any = (
        rsa.generate_private_key(65537, rsa_bits)
        if rsa_bits
        else ec.generate_private_key(ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if authority:
        limits = x509.BasicConstraints(ca=True, path_length=path_length)
        builder = builder.add_extension(limits, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.private if issuer else private
    return Holder(private, builder.sign(signer, hashes.SHA256()))
