"""`regild update`: the whole trip, from an outdated image to a proven, up-to-date one."""

from __future__ import annotations

from regild.cli.options import (
    FORMATS,
    AcceptOlder,
    Advisories,
    Allow,
    AsOf,
    AutoRemove,
    Cache,
    Config,
    Debug,
    Exclude,
    Force,
    FormatOption,
    Hold,
    Image,
    Json,
    KeepJob,
    Mirror,
    ModeOption,
    Offline,
    Only,
    Out,
    Scratch,
    SignReceipt,
    Timeout,
    wanted_site,
)
from regild.cli.outcome import ASKED, DONE, UNREAD, Outcome
from regild.errors import UsageError

TIMEOUT_SECONDS = 1800
"""Half an hour for all package scripts together: far more than any healthy set needs."""


def update(
    image: Image,
    output: Out,
    mode: ModeOption = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    hold: Hold = None,
    only: Only = None,
    exclude: Exclude = None,
    autoremove: AutoRemove = False,
    as_of: AsOf = "",
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    accept_older: AcceptOlder = False,
    form: FormatOption = None,
    scratch: Scratch = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    sign_receipt: SignReceipt = None,
    force: Force = False,
    keep_job: KeepJob = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Bring an image up to date, check it, and write it anew.

    Plan, change offline, describe again, compare with the plan, write with a new descriptor.
    IMAGE is never written to. OUT appears only when everything was proven.
    """
    from regild.agent.update import update as update_image
    from regild.cli.progress import open_progress
    from regild.cli.render import update_text
    from regild.host.files import read_limited
    from regild.model.dsse import PEM_BYTES_MAX

    if form is not None and form not in FORMATS:
        raise UsageError(what=f"--format is {', '.join(FORMATS)}, not {form}")
    site = wanted_site(
        config, mode, mirror, offline, allow, hold, cache, advisories, accept_older,
        only=only, exclude=exclude, autoremove=autoremove, as_of=as_of,
    )  # fmt: skip
    with open_progress(live=not debug) as progress:
        answer = update_image(
            image,
            output,
            site,
            progress,
            form=form,
            scratch=scratch,
            timeout_seconds=timeout_seconds,
            force=force,
            keep_job=keep_job,
            argv=ASKED.get(),
            key=read_limited(sign_receipt, PEM_BYTES_MAX) if sign_receipt else None,
        )
    code = UNREAD if answer.unknowns else DONE
    return Outcome(answer=answer, text=lambda width: update_text(answer, width), code=code)
