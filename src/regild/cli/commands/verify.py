"""`regild verify`: the manifest's digests, and the descriptor against the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Follow, Image, Json, KeyFile
from regild.cli.outcome import DONE, UNREAD, Outcome


def verify(
    image: Image,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Hash each described virtual disk too, beside its file."),
    ] = False,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust", metavar="CA.pem", help="Ask for a signature that leads to one of these."
        ),
    ] = None,
    trust_receipt: Annotated[
        Path | None,
        typer.Option(
            "--trust-receipt",
            metavar="KEYS.pem",
            help="Ask for a receipt that one of these public keys or certificates signed.",
        ),
    ] = None,
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Check whether an image is what it says it is.

    Its manifest's digests, its signature, and its descriptor against the disk.

    Ends with 6 when something is not what it says it is.
    """
    from regild.agent.reading.signature import read_trusted
    from regild.agent.reading.verify import complaint_of
    from regild.agent.reading.verify import verify as verify_image
    from regild.cli.progress import open_progress
    from regild.cli.render import verify_text
    from regild.image.keys import read_keys

    keys = read_keys(key_file or ())
    trusted = read_trusted(trust) if trust else None
    receipt_keys = read_trusted(trust_receipt) if trust_receipt else None
    with open_progress(live=not debug) as progress:
        answer = verify_image(image, deep, progress, trusted, keys, receipt_keys)
    complaint = complaint_of(answer, trust is not None, trust_receipt is not None)
    return Outcome(
        answer=answer,
        text=lambda width: verify_text(answer, width),
        code=UNREAD if answer.unknowns else DONE,
        complaints=(complaint,) if complaint else (),
    )
