"""Bring many images of the store up to date: what has something to do becomes a job, and an engine
has the jobs done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from regild.agent.keeping.engine import Engine, finish
from regild.agent.keeping.storing import Store
from regild.agent.minding.due import find_due
from regild.agent.minding.story import Story
from regild.agent.site import Site
from regild.errors import NotListed
from regild.host.process import spoken_name
from regild.model.agent_answers import AgentAnswer, FailureAnswer
from regild.model.job import Job
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.model.progress import Progress, begin_count, show_rows
from regild.store.generations import list_generations
from regild.store.jobs import list_jobs


def renew_fleet(
    store: Store, site: Site, engine: Engine, patterns: Sequence[str], progress: Progress
) -> AgentAnswer:
    """Make the next generation of every image whose name fits a pattern, where it needs one.

    One that fails does not keep the others from it; jobs that an earlier run left are done too.

    Raises: NotListed where no image fits a pattern; Unanswered.
    """
    _check_names(store, patterns)
    story = Story(progress)
    policy = AgentPolicy(images=tuple(ImagePolicy(pattern) for pattern in patterns))
    found = find_due(store, site, policy, story, progress)
    keys = {one.key for one in found if one.key} | _left(store, patterns)
    if keys:
        begin_count(progress, "Bringing images up to date", len(keys))

    def watch(jobs: list[Job], now: datetime) -> None:
        show_rows(progress, [_row(one, now) for one in jobs if one.state == "running"])

    for job in finish(engine, store.catalogue, sorted(keys), watch):
        _tell(story, job)
        progress.advance(1)
    return story.answer()


def _check_names(store: Store, patterns: Sequence[str]) -> None:
    with store.catalogue.reading() as view:
        names = {one.image for one in list_generations(view)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NotListed(where=f"image {pattern}", why="no image of the store fits it")


def _left(store: Store, patterns: Sequence[str]) -> set[str]:
    """Updates that were asked for before and are not done."""
    with store.catalogue.reading() as view:
        jobs = [one for state in ("waiting", "running") for one in list_jobs(view, state=state)]
    return {
        one.key
        for one in jobs
        if one.kind == "update"
        and any(fnmatchcase(str(one.facts.get("image")), pattern) for pattern in patterns)
    }


def _row(job: Job, now: datetime) -> str:
    """A job that is being done, for how long, and by whom."""
    begun = job.changed or now
    machine, process = spoken_name(job.owner)
    return f"{job.subject:<30} {(now - begun).total_seconds():5.0f} s  {machine}, process {process}"


def _tell(story: Story, job: Job) -> None:
    made = job.result.get("generation")
    if job.state == "done" and made:
        story.tell("updated", job.subject, str(made))
    elif job.state == "done":
        story.tell("left", job.subject, "there is nothing to change after all")
    else:
        code = int(job.result.get("exit_code", 1))
        story.failed(FailureAnswer(job.subject, job.why, code, job.not_before))
