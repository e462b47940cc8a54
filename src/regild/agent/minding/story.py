"""What a run of the agent did, as it is told while it goes on and answered at its end."""

from __future__ import annotations

from datetime import datetime

from regild.errors import RegildError
from regild.model.agent_answers import AgentAnswer, FailureAnswer, Told
from regild.model.job import Job
from regild.model.progress import Progress

UNTOLD = 15
"""The exit code of a job that did not say its own."""
LONGEST = 2000
"""So many lines are kept; an agent that runs for years forgets the older ones."""


class Story:
    """Collects what was done, what is waited for and what failed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.done: list[Told] = []
        self.waits: dict[str, Told] = {}
        self.failures: dict[str, FailureAnswer] = {}
        self.again: datetime | None = None
        self.turns = 0
        self.count = 0
        """How many things were done since the begin."""
        self._noted: set[str] = set()

    def tell(self, what: str, subject: str, text: str = "") -> None:
        """Something was done or happened."""
        self.done.append(Told(what, subject, text))
        self.count += 1
        del self.done[:-LONGEST]
        self._say(f"{what} {subject}" + (f": {text}" if text else ""))

    def wait(self, subject: str, text: str, until: datetime | None = None) -> None:
        """Something is waited for."""
        self.waits[f"{subject}: {text}"] = Told("waits", subject, text)
        if until is not None:
            self.again = min(self.again or until, until)
        self._say(f"waits: {text}", once=True)

    def fail(self, subject: str, error: RegildError, again: datetime | None = None) -> None:
        """Something could not be done; the rest goes on."""
        self.failed(FailureAnswer(subject, str(error), error.exit_code, again))

    def failed(self, failure: FailureAnswer) -> None:
        """The same, of a job that knows how it failed."""
        self.failures[failure.subject] = failure
        self._say(f"failed {failure.subject}: {failure.why}", once=True)

    def failed_job(self, job: Job) -> None:
        """A job has failed, or waits for its next try."""
        code = int(job.result.get("exit_code", UNTOLD))
        subject = f"{job.kind} of {job.subject}"
        self.failed(FailureAnswer(subject, job.why or "it did not end", code, job.not_before))

    def new_turn(self) -> None:
        """What was waited for and what failed is asked again; what was done stays told."""
        self.waits, self.failures, self.again = {}, {}, None
        self.turns += 1

    def answer(self) -> AgentAnswer:
        """All of it."""
        waits, failures = tuple(self.waits.values()), tuple(self.failures.values())
        return AgentAnswer(tuple(self.done), waits, failures, self.again, self.turns)

    def _say(self, line: str, once: bool = False) -> None:
        """Say it while it happens; what stays so is said once."""
        if once and line in self._noted:
            return
        if len(self._noted) > LONGEST:
            self._noted.clear()
        self._noted.add(line)
        self._progress.note(line)
