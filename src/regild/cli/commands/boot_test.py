"""`regild boot-test`: does an image's guest come up, and does it do its work?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Expect, ImageHere, Json, Scratch, TestTimeout
from regild.cli.outcome import Outcome

Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence", metavar="DIR", help="Write the console's log and a picture of the screen."
    ),
]


def boot_test(
    image: ImageHere,
    expect: Expect = None,
    test_timeout: TestTimeout = None,
    evidence: Evidence = None,
    config: Config = None,
    scratch: Scratch = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Boot an image on a throw-away overlay, without network, and see whether it is as expected.

    It has to reach its default target; --expect says what else it has to do. IMAGE is only read.

    Ends with 9 when the guest is not as expected.
    """
    from regild.agent.changing.boot_test import boot_test as boot_image
    from regild.agent.site import read_site
    from regild.cli.progress import open_progress
    from regild.cli.proof_text import boot_test_text

    wanted = read_site(config).test.wanted(expect or (), test_timeout)
    with open_progress(live=not debug) as progress:
        answer = boot_image(image, wanted, progress, scratch=scratch, evidence=evidence)
    return Outcome(answer=answer, text=lambda width: boot_test_text(answer, width))
