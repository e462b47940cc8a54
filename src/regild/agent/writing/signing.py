"""Putting a signature on a package; what is signed is checked first."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from regild.agent.reading.intake import Image, open_image
from regild.agent.reading.verify import require_manifest
from regild.agent.writing.inscribe import check_target, output_of
from regild.errors import MissingFile, UnsupportedError
from regild.host.files import read_limited
from regild.model.answers import SignAnswer
from regild.model.progress import Progress
from regild.ovf import certificate, manifest
from regild.publish.reseal import with_certificate, write_archive, write_files


def sign(
    path: Path,
    key: Path,
    certificates: Path,
    out: Path,
    force: bool,
    now: datetime,
    progress: Progress,
) -> SignAnswer:
    """Write a package once more with a signature over its manifest; every other byte stays.

    What is signed is checked first: each file against the manifest, and that it lists them all.

    Raises: UsageError, TargetExists, MissingFile without a manifest, DigestMismatch, Expired,
    UnsupportedError for a bare disk; as `open_image` and the writers of `publish`.
    """
    check_target(path, out, force)
    with open_image(path) as image:
        appliance = image.appliance
        if appliance is None:
            raise UnsupportedError(where=str(path), why="a bare disk has no manifest to sign")
        require_listed(image)
        content = appliance.members[appliance.manifest_name].read(manifest.MAX_BYTES)
        signature = certificate.sign_manifest(
            content,
            appliance.manifest_name,
            read_limited(key, certificate.MAX_BYTES),
            read_limited(certificates, certificate.MAX_BYTES),
            now,
        )
        require_manifest(image, progress)
        files = with_certificate(appliance, signature)
        if appliance.form == "ova" or out.suffix == ".ova":
            published = write_archive(files, out, progress)
        else:
            published = write_files(files, out, progress, replace=force)
        state = certificate.check_certificate(signature, content, appliance.manifest_name, now)
        return SignAnswer(str(path), state, output_of(published))


def require_listed(image: Image) -> None:
    """A manifest lists the .ovf and every file of the package; else a signature says nothing.

    Raises: MissingFile.
    """
    appliance = image.appliance
    listed = set(image.promised)
    for name in (image.envelope_name, *(appliance.member_names() if appliance else ())):
        if name not in listed:
            why = "what it does not list would not be signed; regild lint --fix writes a whole one"
            raise MissingFile(where=f"{name} in the manifest of {image.path}", why=why)
