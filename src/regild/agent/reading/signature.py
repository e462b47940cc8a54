"""What the signature of an image is worth."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from regild.agent.reading.intake import Image
from regild.errors import RegildError, SignatureRefused
from regild.host.files import read_limited
from regild.model.appliance import SignatureState
from regild.ovf import certificate, manifest

BROKEN: Final = ("corrupted", "wrong-key")
"""What no signer can have meant, whoever is trusted."""


def signature_of(image: Image, now: datetime, trusted: bytes | None = None) -> SignatureState:
    """What the signature of a package is worth at a time; `trusted` holds certificates in PEM.

    Raises: UsageError when `trusted` holds none; MissingFile, NotPermitted.
    """
    appliance = image.appliance
    if appliance is None or not appliance.certificate_name:
        return certificate.ABSENT
    if not appliance.manifest_name:
        return SignatureState("corrupted", "the manifest that it signs is gone")
    return certificate.check_certificate(
        appliance.members[appliance.certificate_name].read(certificate.MAX_BYTES),
        appliance.members[appliance.manifest_name].read(manifest.MAX_BYTES),
        appliance.manifest_name,
        now,
        trusted,
    )


def refusal_of(where: str, state: SignatureState, trusting: bool) -> RegildError | None:
    """The error that a signature amounts to; `trusting` says that one was asked for."""
    if state.state in BROKEN or (trusting and state.state != "valid"):
        return SignatureRefused(where=where, why=state.why, state=state.state)
    return None


def read_trusted(path: Path) -> bytes:
    """The certificates that a site trusts, in PEM.

    Raises: MissingFile, NotPermitted, TooLarge.
    """
    return read_limited(path, certificate.MAX_BYTES)
