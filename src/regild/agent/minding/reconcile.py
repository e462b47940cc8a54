"""One reconciling loop: what the catalogue and the policy want, against what is there.

A turn watches sources, reads feeds and plans what they changed, has the jobs done, moves channels
by policy, pushes, and takes a turn with each group. Nothing waits in this process's memory: what is
to be done is a row, what is waited for follows from rows and the time. Killed anywhere, the next
turn goes on; two at once are told apart by a lock in the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from regild.agent.keeping.engine import ENDED, Engine
from regild.agent.keeping.storing import Store
from regild.agent.minding.due import find_due
from regild.agent.minding.notices import notices_due
from regild.agent.minding.promoting import promote_all, targets_due
from regild.agent.minding.story import Story
from regild.agent.minding.watching import imports_due
from regild.agent.rotating.rotating import Floor, is_settled, story_of, tidy
from regild.agent.rotating.rotation import Turn, take_turn
from regild.agent.site import Site
from regild.errors import Busy, LeaseLost, RegildError
from regild.model.agent_answers import AgentAnswer, AgentJobsAnswer
from regild.model.job import Job
from regild.model.policy import AgentPolicy
from regild.model.progress import end_step
from regild.store.groups import list_groups
from regild.store.jobs import list_jobs, read_job, retry_job
from regild.store.leader import Leadership, leader_of, leading

PASSES = 10
"""So often channels and groups are looked at in one turn, as long as something moves."""
PAUSE_SECONDS = 1.0
DONE_WORDS = {"update": "updated", "push": "pushed", "import": "imported"}


@dataclass
class Agent:
    """The agent of a site, in this process."""

    floor: Floor
    site: Site
    policy: AgentPolicy
    engine: Engine
    story: Story
    read: datetime | None = None
    """When feeds were read last by this process."""
    sleep: Callable[[float], None] = time.sleep
    at_work: set[str] = field(default_factory=set)
    """Jobs that were given to the engine and have not ended."""
    unsettled: set[str] = field(default_factory=set)
    """Groups in which something is under way right now."""

    def turn(self, leadership: Leadership) -> int:
        """Do what can be done now; how many things were done.

        Raises: LeaseLost where another may lead by now; Unanswered.
        """
        before = self.story.count
        self.story.new_turn()
        leadership.check()
        now = datetime.now(UTC)
        if self.read is None:  # what this very turn brings about is told already
            notices_due(self.floor.store, self.policy.notices)
        if self.read is None or now - self.read >= timedelta(seconds=self.policy.every_seconds):
            imports_due(self.floor.store, self.policy, self.story)
            self._work()
            find_due(self.floor.store, self.site, self.policy, self.story, self.floor.progress)
            self.read = now
        self._work()
        self.move_on(leadership)
        targets_due(self.floor.store, self.policy, self.story)
        notices_due(self.floor.store, self.policy.notices)
        self._work()
        return self.story.count - before

    def move_on(self, leadership: Leadership) -> None:
        """Move channels by policy and take turns with groups, as long as something moves.

        Raises: LeaseLost, Unanswered.
        """
        for _ in range(PASSES):
            self.story.waits.clear()
            so_far = self.story.count
            promote_all(self.floor.store, self.policy, self.story)
            self._rotate(leadership)
            if self.story.count == so_far:
                break

    def changes_within(self, seconds: float) -> bool:
        """Whether something that is waited for comes by itself in so long."""
        again = self.story.again
        return again is not None and again <= datetime.now(UTC) + timedelta(seconds=seconds)

    def pause(self, seconds: float) -> None:
        """Wait for the next turn; not longer than until a job ends."""
        end_step(self.floor.progress)
        if self.at_work:
            self.engine.wait(seconds)
        else:
            self.sleep(seconds)

    # --- jobs

    def _work(self) -> None:
        """Have everything done that is a job and is due, and tell what has ended.

        Where the engine works elsewhere, jobs go on after this, and a later look tells of them.
        """
        catalogue = self.floor.store.catalogue
        with catalogue.reading() as view:
            jobs = [one for state in ("running", "waiting") for one in list_jobs(view, state=state)]
            due = [one.key for one in jobs if one.not_before is None or one.not_before <= view.now]
        self.at_work |= set(due)
        for key in due:
            self.engine.give(key)
        with catalogue.reading() as view:
            looked = [read_job(view, key) for key in sorted(self.at_work)]
            troubled = [*list_jobs(view, state="failed"), *list_jobs(view, state="waiting")]
            now = view.now
        for job in looked:
            if job.state == "done":
                self._tell_job(job)
            if job.state in ENDED or (job.not_before is not None and job.not_before > now):
                self.at_work.discard(job.key)
        for job in troubled:
            if job.why and not _is_past(job):
                self.story.failed_job(job)

    def _tell_job(self, job: Job) -> None:
        result = job.result
        made = result.get("generation") or result.get("where") or ""
        if job.kind == "update" and not made:
            self.story.tell("left", job.subject, "there is nothing to change after all")
        elif job.kind in DONE_WORDS:
            self.story.tell(DONE_WORDS[job.kind], job.subject, f"{made}")

    # --- groups

    def _rotate(self, leadership: Leadership) -> None:
        """Take a turn with each group that the policy names."""
        with self.floor.store.catalogue.reading() as view:
            names = [one.name for one in list_groups(view)]
        for name in names:
            if any(fnmatchcase(name, one) for one in self.policy.groups):
                leadership.check()
                self._turn_of(name)
        tidy(self.floor)

    def _turn_of(self, name: str) -> None:
        subject = f"group {name}"
        self.story.failures.pop(subject, None)
        try:
            turn = take_turn(self.floor.means(), name)
        except Busy as error:
            self.story.wait(subject, str(error))
            return
        except LeaseLost:
            raise
        except RegildError as error:
            self.story.fail(subject, error)
            return
        for action in turn.done:
            word, text = story_of(action)
            self.story.tell(word, subject, text)
        for wait in turn.waits:
            self.story.wait(subject, f"{name}: {wait}", turn.again)
        for failure in turn.failures:
            self.story.fail(subject, failure)
        (self.unsettled.add if _is_moving(turn) else self.unsettled.discard)(name)


def run_once(agent: Agent, wait_seconds: float = 0.0) -> AgentAnswer:
    """One turn, or one after the other until nothing moves any more or the time is up.

    Raises: Busy where another agent leads; LeaseLost, Unanswered.
    """
    until = time.monotonic() + wait_seconds
    with _leading(agent) as leadership:
        if leadership is None:
            why = f"{leader_of(agent.floor.store.catalogue)} leads as its agent"
            raise Busy(where=f"the catalogue {agent.floor.store.catalogue.where}", why=why)
        while True:
            done = agent.turn(leadership)
            left = max(0.0, until - time.monotonic())
            goes_on = done or agent.unsettled or agent.changes_within(left)
            if not agent.at_work and not (left and goes_on):
                return agent.story.answer()
            agent.pause(min(PAUSE_SECONDS, left) if left else PAUSE_SECONDS)


def follow(agent: Agent, is_done: Callable[[], bool], wait_seconds: float) -> None:
    """Move channels and groups on until something is so, or the time is up; while another agent
    leads, it does that.

    Raises: LeaseLost, Unanswered.
    """
    until = time.monotonic() + wait_seconds
    while (left := until - time.monotonic()) > 0 and not is_done():
        with _leading(agent) as leadership:
            if leadership is not None:
                agent.move_on(leadership)
        agent.pause(min(PAUSE_SECONDS, left))


def run(agent: Agent) -> None:
    """Turns, one after the other, for as long as this process is let live; while another agent
    leads, wait for it to end.

    Raises: what nothing can be done against, such as a catalogue that is no more.
    """
    said = ""
    while True:
        try:
            with _leading(agent) as leadership:
                if leadership is not None:
                    said = ""
                    _lead(agent, leadership)
                now = f"{leader_of(agent.floor.store.catalogue)} leads; waiting for it to end"
                if now != said:
                    agent.floor.progress.note(now)
                    said = now
        except RegildError as error:
            if not error.retryable:
                raise
            agent.floor.progress.note(f"{error}; trying again")
        agent.sleep(min(agent.policy.tick_seconds, 5))


def _lead(agent: Agent, leadership: Leadership) -> None:
    while True:
        begun = time.monotonic()
        done = agent.turn(leadership)
        seconds = PAUSE_SECONDS if done or agent.unsettled else agent.policy.tick_seconds
        agent.pause(max(0.0, seconds - (time.monotonic() - begun)))


@contextmanager
def _leading(agent: Agent) -> Iterator[Leadership | None]:
    store = agent.floor.store
    with leading(store.catalogue, store.actor, agent.floor.owner) as leadership:
        yield leadership


def _is_moving(turn: Turn) -> bool:
    """Whether instances are on their way, so that looking again soon is worth it."""
    on_the_way = any(one.state in ("starting", "draining", "stopped") for one in turn.instances)
    return not is_settled(turn) and (on_the_way or bool(turn.done))


def _is_past(job: Job) -> bool:
    """Whether a job's failure says nothing any more: what it was about has moved on."""
    return "PlanMoved" in job.why


def jobs_of(store: Store) -> AgentJobsAnswer:
    """The work that is not done, and who leads."""
    with store.catalogue.reading() as view:
        jobs = [one for one in list_jobs(view) if one.state != "done"]
    return AgentJobsAnswer(leader_of(store.catalogue), tuple(jobs))


def retry(store: Store, key: str) -> AgentJobsAnswer:
    """Have a job that has failed done again.

    Raises: NotListed.
    """
    with store.catalogue.writing(store.actor) as change:
        job = retry_job(change, key)
    return AgentJobsAnswer(leader_of(store.catalogue), (job,))
