"""`regild sign`: put a signature on a package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Force, Image, Json, Out
from regild.cli.outcome import Outcome


def sign(
    image: Image,
    key: Annotated[
        Path,
        typer.Option("--key", metavar="KEY.pem", help="Private key, PEM: RSA or elliptic curve."),
    ],
    cert: Annotated[
        Path,
        typer.Option(
            "--cert",
            metavar="CERT.pem",
            help="Its X.509 certificate, PEM; further ones may follow.",
        ),
    ],
    output: Out,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Write the package anew, with a signature.

    The signature is a certificate (.cert, SHA-256) over the manifest, which lists every file. Every
    file is checked against the manifest first; no other byte changes.
    """
    from datetime import UTC, datetime

    from regild.agent.writing.signing import sign as sign_image
    from regild.cli.progress import open_progress
    from regild.cli.render import sign_text

    with open_progress(live=not debug) as progress:
        answer = sign_image(image, key, cert, output, force, datetime.now(UTC), progress)
    return Outcome(answer=answer, text=lambda width: sign_text(answer, width))
