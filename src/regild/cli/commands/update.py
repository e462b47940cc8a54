"""`regild update`: the whole trip, from an outdated image to a proven, up-to-date one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    Expect,
    Force,
    FormatOption,
    GivenPlan,
    Hold,
    ImageHere,
    Json,
    KeepJob,
    MediaFiles,
    MethodOption,
    Mirror,
    ModeOption,
    Offline,
    Only,
    PlanTrust,
    RecipeFiles,
    Scratch,
    SignReceipt,
    TestBoot,
    TestTimeout,
    Timeout,
    wanted_site,
)
from regild.cli.outcome import ASKED, DONE, LEFT_OUT, UNREAD, Outcome
from regild.cli.store_options import StorePlace, name_in_store
from regild.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regild.agent.changing.update import Manner
    from regild.agent.site import Site
    from regild.model.answers import UpdateAnswer
    from regild.model.health import Wanted
    from regild.model.plan import Plan
    from regild.model.progress import Progress

FileOut = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Where the new image goes, if not into the store."
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        "--channel", metavar="NAME", help="What is to point at the result (the image's first)."
    ),
]
TIMEOUT_SECONDS = 1800
"""Half an hour for all package scripts together: far more than any healthy set needs."""


def update(
    image: ImageHere,
    output: FileOut = None,
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
    recipe: RecipeFiles = None,
    media: MediaFiles = None,
    plan: GivenPlan = None,
    trust: PlanTrust = None,
    form: FormatOption = None,
    scratch: Scratch = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    test_boot: TestBoot = False,
    expect: Expect = None,
    test_timeout: TestTimeout = None,
    sign_receipt: SignReceipt = None,
    force: Force = False,
    keep_job: KeepJob = False,
    place: StorePlace = None,
    channel: Channel = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Bring an image up to date, check it, and write it anew.

    IMAGE stays as it is; OUT appears only when all is proven. With --store, or as store:NAME, IMAGE
    is a generation; its image's next one is made, and its first channel points there.
    """
    from regild.agent.changing.update import Manner
    from regild.cli.progress import open_progress
    from regild.cli.render import update_text

    wishes = mode, method, carrier, hold, only, exclude, autoremove, as_of
    _check_use(form, plan, trust, any(wishes), media)
    _check_goal(kept := name_in_store(image, place), output, channel, form, plan or media)
    site = wanted_site(
        config, mode, mirror, offline, allow, hold, cache, advisories, accept_older, only=only,
        exclude=exclude, autoremove=autoremove, as_of=as_of, method=method, carrier=carrier,
        recipes=recipe,
    )  # fmt: skip
    more = key_of(sign_receipt), ASKED.get(), _test(site, test_boot, expect, test_timeout)
    manner = Manner(form, scratch, timeout_seconds, force, keep_job, *more)
    with open_progress(live=not debug) as progress:
        if kept:
            return _renewed(kept, place, config, site, progress, manner, channel)
        answer = _updated(image, output, site, progress, manner, media or _given(plan, trust, site))
    return Outcome(answer=answer, text=lambda width: update_text(answer, width), code=ended(answer))


def _updated(
    image: Path,
    output: Path | None,
    site: Site,
    progress: Progress,
    manner: Manner,
    given: Plan | list[Path] | None,
) -> UpdateAnswer:
    """An image in a file, brought up to date: as planned, or a Windows by what it is given."""
    output = output or Path()  # there is one: `_check_goal`
    if isinstance(given, list):
        from regild.agent.changing.windows import update_windows

        return update_windows(image, output, given, site, progress, manner)
    from regild.agent.changing.update import update_by

    answer, _ = update_by(image, output, site, progress, manner, given)
    return answer


def _renewed(
    name: str,
    place: Path | None,
    config: Path | None,
    site: Site,
    progress: Progress,
    manner: Manner,
    channel: str | None,
) -> Outcome:
    """A generation of the store, brought up to date into the store."""
    from dataclasses import replace

    from regild.agent.keeping.storing import open_store
    from regild.agent.minding.renewing import renew
    from regild.cli.store_text import renew_text
    from regild.model.generation import read_reference

    reference, manner = read_reference(name), replace(manner, argv=())
    with open_store(place, config) as store:
        answer = renew(store, reference, site, progress, manner, channel=channel)
    code = ended(answer.update)
    return Outcome(answer=answer, text=lambda width: renew_text(answer, width), code=code)


def _check_goal(
    kept: str,
    output: Path | None,
    channel: str | None,
    form: str | None,
    given: Path | list[Path] | None,
) -> None:
    """It is said where the result goes, once.

    Raises: UsageError.
    """
    if not kept and output is None:
        raise UsageError(what="say with --output OUT where the new image goes")
    if not kept and channel is not None:
        raise UsageError(what="--channel is for images in the store: store:NAME")
    if kept and (output is not None or form is not None or given):
        what = "an image in the store becomes its own next generation: leave out"
        raise UsageError(what=f"{what} --output, --format, --plan and --media")


def ended(answer: UpdateAnswer) -> int:
    """The exit code: 3 unread, 11 nothing done but left out, 0 done or nothing to do."""
    if answer.unknowns:
        return UNREAD
    return LEFT_OUT if answer.output is None and answer.skipped else DONE


def _check_use(
    form: str | None,
    plan: Path | None,
    trust: Path | None,
    has_wishes: bool,
    media: Sequence[Path] | None,
) -> None:
    """The options fit together.

    Raises: UsageError.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(what=f"--format is {', '.join(FORMATS)}, not {form}")
    if plan is not None and has_wishes:
        raise UsageError(what="--plan says already what changes: leave out --mode, --hold and such")
    if media and plan is not None:
        raise UsageError(what="--media says already what is installed: leave out --plan")
    if trust is not None and plan is None:
        raise UsageError(what="--trust is for the plan that --plan names")


def _given(path: Path | None, trust: Path | None, site: Site) -> Plan | None:
    """The plan that was given, if its signer is one whom the site or the command line trusts.

    Raises: UsageError, SignatureRefused; as `read_plan`.
    """
    from regild.agent.planning.plan_file import read_plan
    from regild.agent.reading.signature import read_trusted

    if path is None:
        return None
    named = trust or site.plan_trust
    return read_plan(path, read_trusted(named) if named else None)


def _test(site: Site, asked: bool, expect: list[str] | None, seconds: int | None) -> Wanted | None:
    """What is wanted of a test boot; None where neither site nor command line want one.

    Raises: UsageError.
    """
    if not asked and not site.test.boot:
        if expect or seconds:
            raise UsageError(what="--expect and --test-timeout are for --test-boot")
        return None
    return site.test.wanted(expect or (), seconds)


def key_of(path: Path | None) -> bytes | None:
    """The private key that signs the receipt."""
    from regild.host.files import read_limited
    from regild.model.dsse import PEM_BYTES_MAX

    return read_limited(path, PEM_BYTES_MAX) if path else None
