"""`regild prove`: is what an image holds whole, and would it boot?"""

from __future__ import annotations

from regild.cli.options import Debug, Image, Json, KeyFile, Scratch
from regild.cli.outcome import DONE, UNREAD, Outcome


def prove(
    image: Image,
    scratch: Scratch = None,
    key_file: KeyFile = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Check whether what an image holds is whole; nothing is booted.

    Packages and their files, the boot chain, links, accounts, leftovers, and the filesystems.
    Update asks the same and more of its result.

    Ends with 9 when something is not whole.
    """
    from regild.agent.changing.prove import complaint_of
    from regild.agent.changing.prove import prove as prove_image
    from regild.cli.progress import open_progress
    from regild.cli.render import prove_text
    from regild.image.keys import read_keys

    keys = read_keys(key_file or ())
    with open_progress(live=not debug) as progress:
        answer = prove_image(image, progress, scratch, keys)
    complaint = complaint_of(answer)
    return Outcome(
        answer=answer,
        text=lambda width: prove_text(answer, width),
        code=UNREAD if any(one.unknowns for one in answer.systems) else DONE,
        complaints=(complaint,) if complaint else (),
    )
