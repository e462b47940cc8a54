"""Telling people what happened: each event that is worth it becomes a job for each of those who are
to be told, so that it is sent at least once, and again where a server was away.

To a webhook goes JSON, signed where the policy names a secret:

    Regild-Event: 4711                        the event's number; the same when it is sent again
    Regild-Signature: t=1767225600,v1=...     HMAC-SHA256 over "T.BODY", in hexadecimal digits
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from regild.agent.keeping.engine import Desk
from regild.agent.keeping.storing import Store
from regild.agent.policy_file import read_agent_policy
from regild.errors import UsageError
from regild.host.files import read_limited
from regild.host.notice import post, send_mail
from regild.model.digest import canonical, hex_of, sha256_of
from regild.model.job import Event, Job
from regild.model.policy import Notices, Occasion
from regild.store import Writing
from regild.store.events import last_event, list_events
from regild.store.jobs import find_job, mark, submit_job

OCCASIONS: dict[str, Occasion] = {
    "approval.ask": "pending",
    "generation.add": "done",
    "channel.promote": "done",
    "rotate.settle": "done",
    "rotate.halt": "halted",
    "rotate.roll-back": "halted",
    "promotion.halt": "halted",
    "job.failed": "halted",
    "generation.revoke": "revoked",
}
"""What each kind of event is to those who are told."""
SENTENCES = {
    "approval.ask": "it waits for somebody to say yes",
    "generation.add": "a new generation is there",
    "channel.promote": "the channel points at another generation",
    "rotate.settle": "the group runs its generation everywhere",
    "rotate.halt": "the rotation is halted where it stands",
    "rotate.roll-back": "the rotation is halted; everything goes back",
    "promotion.halt": "it is not promoted any further",
    "job.failed": "work has failed",
    "generation.revoke": "the generation must not run any more",
}
"""What each of them is to whoever reads a mail."""
KIND = "notify"
MARK = "notify/last"
"""The job whose facts hold the number of the event that was looked at last."""
AT_ONCE = 500
SECRET_BYTES = 4096
LEAST_SECRET = 16
DIGITS = 24


def notices_due(store: Store, notices: Notices) -> None:
    """Leave a job for everyone who is to be told of what happened since the last time; the first
    time nothing of what was before.

    Raises: Unanswered.
    """
    targets = _targets(notices)
    if not targets:
        return
    kinds = [kind for kind, occasion in OCCASIONS.items() if occasion in notices.on]
    with store.catalogue.writing(store.actor) as change:
        newest = last_event(change)
        before = find_job(change, MARK)
        if before is None:
            mark(change, MARK, KIND, {"event": newest})
            return
        after = int(before.facts["event"])
        events = list_events(change, kind=kinds, after=after, limit=AT_ONCE) if kinds else ()
        for event in events:
            if not str(event.facts.get("key", "")).startswith(f"{KIND}:"):
                for target in targets:
                    _submit(change, event, target)
        done = events[-1].number if len(events) == AT_ONCE else newest
        if done != after:
            mark(change, MARK, KIND, {"event": done})


def notify_job(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The job `notify`: facts are what happened, and a digest of whom to tell. Who is no longer
    in the policy is not told.

    Raises: Unreachable; UsageError where the policy or its secret cannot be used.
    """
    notices = read_agent_policy(desk.workplace.config, datetime.now(UTC)).notices
    target = _targets(notices).get(job.facts["to"])
    if target is None:
        return {"told": False}
    told = {name: value for name, value in job.facts.items() if name != "to"}
    if target == "mail":
        send_mail(notices.smtp, mail_of(notices, told))
    else:
        content = canonical(told)
        now = int(datetime.now(UTC).timestamp())
        post(target, content, headers_of(content, told["event"], _secret(notices), now))
    return {"told": True}


def headers_of(content: bytes, event: int, secret: bytes, now: int) -> dict[str, str]:
    """The headers of what is sent to a webhook; signed where there is a secret (RFC 2104)."""
    headers = {"Content-Type": "application/json", "Regild-Event": str(event)}
    if secret:
        signed = hmac.new(secret, f"{now}.".encode() + content, hashlib.sha256).hexdigest()
        headers["Regild-Signature"] = f"t={now},v1={signed}"
    return headers


def _targets(notices: Notices) -> dict[str, str]:
    """Who is to be told, by a digest: addresses may be secrets, and stand in no row."""
    named = {hex_of(sha256_of(one.encode()))[:DIGITS]: one for one in notices.webhooks}
    return named | ({"mail": "mail"} if notices.mail else {})


def _submit(change: Writing, event: Event, target: str) -> None:
    facts = {
        "to": target,
        "event": event.number,
        "at": event.at.isoformat(),
        "occasion": OCCASIONS[event.kind],
        "kind": event.kind,
        "subject": event.subject,
        "actor": event.actor,
        "facts": event.facts,
    }
    submit_job(change, f"{KIND}:{target}:{event.number}", KIND, event.subject, facts)


def _secret(notices: Notices) -> bytes:
    """What signs webhooks; empty where the policy names nothing.

    Raises: UsageError, MissingFile, NotPermitted.
    """
    if not notices.secret:
        return b""
    found = read_limited(Path(notices.secret), SECRET_BYTES).strip()
    if len(found) < LEAST_SECRET:
        raise UsageError(what=f"{notices.secret} is too short for a secret: {LEAST_SECRET} signs")
    return found


def mail_of(notices: Notices, told: Mapping[str, Any]) -> EmailMessage:
    """A mail about one event, a line for each fact; sent again it has the same Message-ID."""
    message = EmailMessage()
    message["Subject"] = f"regild: {told['occasion']}: {_printable(told['subject'])}"
    message["From"] = notices.sender
    message["To"] = ", ".join(notices.mail)
    message["Date"] = datetime.fromisoformat(told["at"])
    message["Message-ID"] = f"<regild-{told['event']}@{notices.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [f"{told['subject']}: {SENTENCES.get(told['kind'], told['kind'])}"]
    lines += [f"To say yes: {answer_to(told['subject'])}"] * (told["kind"] == "approval.ask")
    lines += ["", f"{told['kind']} at {told['at']}, by {told['actor']}"]
    lines += [f"{name}: {value}" for name, value in told["facts"].items() if value not in ("", [])]
    message.set_content("\n".join(map(_printable, lines)) + "\n")
    return message


def answer_to(question: str) -> str:
    """The command that says yes to a question: of a channel, or of a group's wave."""
    generation, arrow, channel = question.partition(" -> ")
    if arrow:
        return f"regild approve {generation} {channel}"
    return f"regild group approve {question.partition(':')[0]}"


def _printable(text: Any) -> str:
    """One line in which nothing steers a terminal or begins another line: facts may quote a
    guest."""
    signs = (one if one.isprintable() else repr(one)[1:-1] for one in str(text))
    return "".join(signs)
