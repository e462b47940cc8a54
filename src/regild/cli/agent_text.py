"""What the agent did, as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from regild.cli.table import table
from regild.cli.text import plain
from regild.model.agent_answers import (
    AgentAnswer,
    AgentJobsAnswer,
    ApprovalAnswer,
    FailureAnswer,
    RespondAnswer,
    RespondLeft,
    Told,
)


def agent_text(answer: AgentAnswer, width: int) -> str:
    """A run of the agent: what was done, what is waited for, what failed."""
    lines = story_lines(answer.done, answer.waits, answer.failures, width)
    if answer.again is not None:
        lines += ["", plain(f"The next thing comes by itself at {answer.again:%Y-%m-%d %H:%M:%S}Z")]
    return "\n".join(lines)


def story_lines(
    done: Sequence[Told],
    waits: Sequence[Told],
    failures: Sequence[FailureAnswer],
    width: int,
) -> list[str]:
    """A story in up to three tables."""
    rows = [(one.what, one.subject, one.text) for one in done]
    lines = table(["DONE", "OF", "MORE"], rows, width) or ["nothing to do"]
    if waits:
        lines += ["", *table(["WAITS", "FOR"], [(one.subject, one.text) for one in waits], width)]
    if failures:
        told = [(one.subject, one.why, _again(one)) for one in failures]
        lines += ["", *table(["FAILED", "WHY", "AGAIN"], told, width)]
    return lines


def jobs_text(answer: AgentJobsAnswer, width: int) -> str:
    """The agent's work."""
    rows = [
        (one.key, one.subject, one.state, str(one.attempts), one.why or one.owner)
        for one in answer.jobs
    ]
    lines = table(["JOB", "OF", "STATE", "TRIES", "WHY OR WHO"], rows, width)
    return "\n".join([plain(f"Led last by {answer.leader}"), *(lines or ["no work waits"])])


def respond_text(answer: RespondAnswer, width: int) -> str:
    """Who is exposed, and what became of them."""
    of = f", {answer.severity}" if answer.severity else ""
    count = len(answer.exposed)
    said = "nothing is known to be exposed" if not count else f"{count} generations are exposed"
    said = "1 generation is exposed" if count == 1 else said
    lines = [plain(f"{answer.cve}{of}: {said}" + (" (nothing was done)" if answer.dry else ""))]
    lines += [plain(f"Asked: {', '.join(answer.packages)}")] if answer.packages else []
    rows = [
        (
            one.row.generation + (" (revoked)" if one.row.revoked else ""),
            ", ".join(one.row.packages),
            ", ".join(one.row.channels),
            ", ".join(one.row.instances),
            one.state,
        )
        for one in answer.exposed
    ]
    head = ["GENERATION", "BECAUSE OF", "CHANNELS", "RUNS IN", "BECOMES"]
    lines += [*([""] if rows else []), *table(head, rows, width)]
    if answer.done or answer.waits or answer.failures:
        lines += ["", *story_lines(answer.done, answer.waits, answer.failures, width)]
    if answer.unknowns:
        lines += ["", f"!!! UNKNOWN: of {len(answer.unknowns)} it cannot be said"]
        lines += table(["WHERE", "WHY"], [(one.where, one.why) for one in answer.unknowns], width)
    if not answer.dry:
        lines += ["", *_left_lines(answer, width)]
    return "\n".join(lines)


def _left_lines(answer: RespondAnswer, width: int) -> list[str]:
    """The end of a response: who is still exposed, and who ends that."""
    if answer.left:
        rows = [(one.where, one.what, one.ends) for one in answer.left]
        found = table(["STILL EXPOSED", "HAS", "ENDED BY"], rows, width)
        return [*found, "", plain(f"{answer.cve}: not over: {_counted(answer.left)}")]
    unfixed = sum(not one.fixed_in for one in answer.exposed)
    if unfixed or answer.unknowns or answer.failures:
        return [plain(f"{answer.cve}: not over: see above")]
    if answer.exposed:
        return [plain(f"{answer.cve}: no channel points at it and no instance runs it any more")]
    return [plain(f"{answer.cve}: no channel points at it and no instance runs it")]


def _counted(left: Sequence[RespondLeft]) -> str:
    """How many channels and groups are left, in words."""
    groups = sum(one.where.startswith("group ") for one in left)
    channels = len(left) - groups
    said = [f"{channels} channel{'s' * (channels != 1)}"] if channels else []
    said += [f"{groups} group{'s' * (groups != 1)}"] if groups else []
    return f"{' and '.join(said)} still {'has' if len(left) == 1 else 'have'} it"


def approval_text(answer: ApprovalAnswer) -> str:
    """What was decided."""
    one = answer.approval
    return plain(
        f"{one.subject}: {one.verdict} by {one.actor}" + (f", {one.why}" if one.why else "")
    )


def _again(failure: FailureAnswer) -> str:
    return f"{failure.again:%Y-%m-%d %H:%M}Z" if failure.again else "when somebody has looked"
