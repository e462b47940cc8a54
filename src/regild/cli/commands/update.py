"""`regild update`: the whole trip, from an outdated image to a proven, up-to-date one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regild.cli.options import (
    FORMATS,
    AcceptOlder,
    Advisories,
    Allow,
    AsOf,
    AutoRemove,
    Cache,
    CarrierOption,
    Config,
    Debug,
    Exclude,
    Force,
    FormatOption,
    GivenPlan,
    Hold,
    Image,
    Json,
    KeepJob,
    MethodOption,
    Mirror,
    ModeOption,
    Offline,
    Only,
    Out,
    PlanTrust,
    Scratch,
    SignReceipt,
    Timeout,
    wanted_site,
)
from regild.cli.outcome import ASKED, DONE, LEFT_OUT, UNREAD, Outcome
from regild.errors import UsageError

if TYPE_CHECKING:
    from regild.agent.site import Site
    from regild.model.answers import UpdateAnswer
    from regild.model.plan import Plan

TIMEOUT_SECONDS = 1800
"""Half an hour for all package scripts together: far more than any healthy set needs."""


def update(
    image: Image,
    output: Out,
    mode: ModeOption = None,
    method: MethodOption = None,
    carrier: CarrierOption = None,
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
    plan: GivenPlan = None,
    trust: PlanTrust = None,
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

    wishes = mode, method, carrier, hold, only, exclude, autoremove, as_of
    _check_use(form, plan, trust, any(wishes))
    site = wanted_site(
        config, mode, mirror, offline, allow, hold, cache, advisories, accept_older, only=only,
        exclude=exclude, autoremove=autoremove, as_of=as_of, method=method, carrier=carrier,
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
            key=_key(sign_receipt),
            plan=_given(plan, trust, site),
        )
    return Outcome(answer=answer, text=lambda width: update_text(answer, width), code=_code(answer))


def _code(answer: UpdateAnswer) -> int:
    """The exit code: 3 unread, 11 nothing done but left out, 0 done or nothing to do."""
    if answer.unknowns:
        return UNREAD
    return LEFT_OUT if answer.output is None and answer.skipped else DONE


def _check_use(form: str | None, plan: Path | None, trust: Path | None, has_wishes: bool) -> None:
    """The options fit together.

    Raises: UsageError.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(what=f"--format is {', '.join(FORMATS)}, not {form}")
    if plan is not None and has_wishes:
        raise UsageError(what="--plan says already what changes: leave out --mode, --hold and such")
    if trust is not None and plan is None:
        raise UsageError(what="--trust is for the plan that --plan names")


def _given(path: Path | None, trust: Path | None, site: Site) -> Plan | None:
    """The plan that was given, if its signer is one whom the site or the command line trusts.

    Raises: UsageError, SignatureRefused; as `read_plan`.
    """
    from regild.agent.plan_file import read_plan
    from regild.agent.signature import read_trusted

    if path is None:
        return None
    named = trust or site.plan_trust
    return read_plan(path, read_trusted(named) if named else None)


def _key(path: Path | None) -> bytes | None:
    """The private key that signs the receipt."""
    from regild.host.files import read_limited
    from regild.model.dsse import PEM_BYTES_MAX

    return read_limited(path, PEM_BYTES_MAX) if path else None
