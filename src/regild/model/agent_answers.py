"""What the agent's commands answer; the contract of their `--json`."""

from __future__ import annotations

from datetime import datetime

from regild.model.content import Unknown, Value
from regild.model.group import Approval
from regild.model.job import Job
from regild.model.store_answers import QueryRow


class Told(Value, frozen=True):
    """One thing that the agent did, or that happened."""

    what: str
    """A word for it: `planned`, `updated`, `promoted`, `halted` and so on."""
    subject: str
    text: str = ""


class FailureAnswer(Value, frozen=True):
    """Something that could not be done."""

    subject: str
    why: str
    exit_code: int
    again: datetime | None = None
    """When it is tried again; None where somebody has to look at it first."""


class AgentAnswer(Value, frozen=True):
    """`regild agent run`: what was done in this run, what is waited for, what failed."""

    done: tuple[Told, ...] = ()
    waits: tuple[Told, ...] = ()
    failures: tuple[FailureAnswer, ...] = ()
    again: datetime | None = None
    """When something will change without anybody doing anything."""
    turns: int = 0


class AgentJobsAnswer(Value, frozen=True):
    """`regild agent jobs`: work that waits, is done right now or has failed; who leads."""

    leader: str
    jobs: tuple[Job, ...] = ()


class ApprovalAnswer(Value, frozen=True):
    """`regild approve`: a question, and what was decided."""

    approval: Approval


class RespondRow(Value, frozen=True):
    """One generation that is exposed, and what becomes of it."""

    row: QueryRow
    state: str
    """`fixed in web@8`, `would be fixed by 3 changes`, `no fix is known` and so on."""
    fixed_in: str = ""


class RespondLeft(Value, frozen=True):
    """A channel or group that has an exposed generation still."""

    where: str
    """`channel production of web`, `group web`."""
    what: str
    """`points at web@7`, `4 instances of web@7`."""
    ends: str
    """Who ends that, and when: the agent, or somebody by a command that is named."""


class RespondAnswer(Value, frozen=True):
    """`regild respond`: who is exposed to a weakness, and what was done."""

    cve: str
    severity: str = ""
    packages: tuple[str, ...] = ()
    """As questions to the catalogue: `package:libssl3 < 3.0.17`."""
    dry: bool = False
    """Nothing was done."""
    exposed: tuple[RespondRow, ...] = ()
    """Who was, when the answer was begun."""
    left: tuple[RespondLeft, ...] = ()
    """Who is still exposed at its end."""
    unknowns: tuple[Unknown, ...] = ()
    done: tuple[Told, ...] = ()
    waits: tuple[Told, ...] = ()
    failures: tuple[FailureAnswer, ...] = ()


AGENT_ANSWERS: dict[str, type[Value]] = {
    "agent": AgentAnswer,
    "agent-jobs": AgentJobsAnswer,
    "approve": ApprovalAnswer,
    "fleet-update": AgentAnswer,
    "respond": RespondAnswer,
}
"""The answer of each command, by the name of its schema."""
