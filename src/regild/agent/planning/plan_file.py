"""Plans as files: written, signed, read again, and held against the image and the feeds that they
were made for."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from regild.errors import (
    InputError,
    Malformed,
    PlanMoved,
    SignatureRefused,
    TargetExists,
    UsageError,
)
from regild.feeds.feed import Offers
from regild.host.files import read_limited, write_whole
from regild.model.answers import PlanAnswer
from regild.model.content import Content
from regild.model.digest import canonical
from regild.model.dsse import PEM_BYTES_MAX, check_signed, read_signed, sign_bytes
from regild.model.json import from_json_once, to_json
from regild.model.plan import FeedState, Plan
from regild.plan.expected import expected_packages
from regild.plan.permit import check_plan, check_room
from regild.plan.steps import identity_of
from regild.plan.wishes import Policy

KIND = "application/vnd.regild.plan+json"
FILE_BYTES_MAX = 64 << 20


def check_plan_place(image: Path, out: Path, force: bool) -> None:
    """A plan replaces nothing unasked, and never the image that it is for.

    Raises: TargetExists, UsageError.
    """
    if out.exists() and image.exists() and out.samefile(image):
        raise UsageError(what=f"{out} is the image itself, which is never written to")
    if os.path.lexists(out) and not force:
        raise TargetExists(where=str(out), why="a plan would replace it")


def write_plan(answer: PlanAnswer, out: Path, key: Path | None) -> None:
    """Write a plan as `--json` shows it, or, with a key, the same signed (DSSE).

    Raises: UsageError for a key that cannot sign, MissingFile, DiskFull, NotPermitted.
    """
    if key is None:
        write_whole(out, to_json(answer).encode() + b"\n")
    else:
        secret = read_limited(key, PEM_BYTES_MAX)
        write_whole(out, sign_bytes(canonical(answer), KIND, secret))


def read_plan(path: Path, trusted: bytes | None) -> Plan:
    """A plan that was written before; `trusted` are keys or certificates in PEM, of which one must
    have signed it.

    Raises: MissingFile, TooLarge, Malformed; SignatureRefused where none did; UsageError for a
    signed plan when nobody was said to be trusted.
    """
    content = read_limited(path, FILE_BYTES_MAX)
    where = str(path)
    if not _is_signed(content, where):
        if trusted is not None:
            raise SignatureRefused(where=where, why="nobody signed it", state="absent")
        plan = from_json_once(Plan, content, where)
    else:
        signed = read_signed(content, where)
        if trusted is None:
            raise UsageError(what=f"{where} is signed: say with --trust who may have signed it")
        check_signed(signed, trusted, where)
        if signed.kind != KIND:
            raise InputError(where=where, why=f"what is signed is no plan but {signed.kind[:80]}")
        plan = from_json_once(Plan, signed.payload, where)
    if identity_of(plan) != plan.id:
        raise Malformed(where=where, why="its id is not that of its steps")
    return plan


def check_given(plan: Plan, content: Content, available: Offers, policy: Policy) -> None:
    """The feeds are still what a plan for an image was made from, and the plan says what follows
    from them and is allowed.

    Raises: PlanMoved, Malformed when it expects something else than its steps bring; as
    `check_plan` and `check_room` of `plan`.
    """
    now = {(feed.uri, feed.suite): feed for feed in available.feeds}
    then = {(feed.uri, feed.suite): feed for feed in plan.feeds}
    for uri, suite in sorted({*now, *then}):
        if why := _moved(then.get((uri, suite)), now.get((uri, suite))):
            raise PlanMoved(where=f"the repository {uri} {suite}".rstrip(), why=why)
    for step in plan.package_steps:
        if step.action == "remove":
            continue
        offered = available.find_release(step.name, step.becomes, step.arch)
        if offered is None or offered.archive != step.archive:
            why = f"no repository offers the file of {step.name} {step.becomes}"
            raise Malformed(where="the plan", why=why)
    promised = expected_packages(content, plan.package_steps, plan.marks)
    if without_errands(plan, content).expected != promised:
        raise Malformed(where="the plan", why="it expects other packages than its steps bring")
    before, after = ({one.name for one in each} for each in (content.packages, promised))
    gone = (step.name for step in plan.package_steps if step.action == "remove")
    for name in (*(set(gone) - before), *({one.name for one in plan.marks} - after)):
        raise Malformed(where="the plan", why=f"it speaks of {name[:60]!r}, which is not there")
    check_plan(plan, policy)
    check_room(plan.room)


def _moved(then: FeedState | None, now: FeedState | None) -> str:
    """How a repository differs from what a plan was made from; nothing where it does not."""
    if then is None or now is None:
        return "the plan does not know it" if then is None else "the image names it no more"
    if then.digest == now.digest:
        return ""
    return (
        f"it is of {now.date}, not of {then.date}"
        if then.date != now.date
        else ("it is of another state")
    )


def without_errands(plan: Plan, content: Content) -> Plan:
    """A plan as it was before recipes added to it."""
    if not plan.errands and plan.applications is None:
        return plan
    errands = {file.digest: file.bytes for one in plan.errands for file in one.files}
    return replace(
        plan,
        steps=plan.package_steps,
        errands=(),
        applications=None,
        expected=expected_packages(content, plan.package_steps, plan.marks),
        skipped=(),
        download_bytes=plan.download_bytes - sum(errands.values()),
    )


def check_errands(plan: Plan, now: Plan) -> None:
    """What recipes brought to a plan is what they bring now, whoever wrote the plan's file.

    Raises: PlanMoved.
    """
    if identity_of(now) != identity_of(plan):
        why = "they bring something else now, or the plan says what they do not"
        raise PlanMoved(where="what recipes bring", why=why)
    if (now.expected, now.applications) != (plan.expected, plan.applications):
        raise PlanMoved(where="what recipes find", why="it is of another state")


def _is_signed(content: bytes, where: str) -> bool:
    """Whether a file holds signed bytes and not a plan itself."""
    try:
        return "payloadType" in msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise Malformed(where=where, why="it is neither a plan nor a signed one") from error
