"""From a generation to the next: brought up to date, proven, and deposited with its parent, plan
and receipt in the transaction that lets the first channel point at it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regild.agent.changing.update import Manner, update_by
from regild.agent.keeping.engine import Desk
from regild.agent.keeping.publishing import export, publish
from regild.agent.keeping.storing import Store
from regild.agent.site import Site, with_options
from regild.errors import Busy, NotListed, PlanMoved, RegildError, Revoked
from regild.host.files import translated
from regild.host.scratch import alone_in, default_folder
from regild.model.digest import hex_of
from regild.model.generation import Channel, Generation, Reference
from regild.model.job import Job
from regild.model.plan import Plan
from regild.model.progress import Progress
from regild.model.store_answers import RenewAnswer
from regild.store import Reading, Writing
from regild.store.aside import LATE, in_line
from regild.store.channels import find_channel, list_channels, promote
from regild.store.generations import check_usable, list_generations, resolve

FOLDER = "renewals"
DIGITS = 12
TOGETHER = 8
"""So many workers may have a folder for the same generation: all but one of them are frozen."""


def renew(
    store: Store,
    reference: Reference,
    site: Site,
    progress: Progress,
    manner: Manner,
    *,
    channel: str | None = None,
    aside: bool = False,
    ending: Callable[[Writing, Generation], object] = lambda change, made: None,
) -> RenewAnswer:
    """Make the next generation of an image: what a reference names, brought up to date and proven.

    The result is deposited with its parent, plan, receipt and content; in the same transaction a
    channel points at it (the image's first, where none is named; none for ""), and `ending` is
    done. Where there is nothing to do there is no new generation. An image alone stands for its
    newest generation that may be used. What stands `aside` is nobody's successor, so that it
    does not matter what else was published meanwhile.

    Raises: NotListed, Revoked; as `export`, `update` and `publish`; PlanMoved where somebody
    published another generation meanwhile.
    """
    with store.catalogue.reading() as view:
        base = start_from(view, reference)
        newest = None if aside else list_generations(view, base.image)[-1].number
        goal = _goal(view, base.image, channel)
    deposit = _Deposit(store, base, newest, goal, ending)
    with _workshop(base, manner.scratch) as folder:
        path = _brought(store, base, folder / "in", progress)
        output = _emptied(folder / "out") / path.name
        manner = replace(manner, scratch=folder / "job")

        def delivered(plan: Plan) -> None:
            deposit.make(output, plan, progress)

        answer, _ = update_by(path, output, site, progress, manner, delivered=delivered)
    return RenewAnswer(base, answer, deposit.made, deposit.moved)


@dataclass
class _Deposit:
    """The end of a renewal: what was made comes into the store."""

    store: Store
    base: Generation
    newest: int | None
    """What nothing may have followed meanwhile; None where it does not matter."""
    goal: str
    ending: Callable[[Writing, Generation], object]
    made: Generation | None = None
    moved: Channel | None = None

    def make(self, output: Path, plan: Plan, progress: Progress) -> None:
        """Publish what an update wrote as the next generation, with the plan it followed."""
        parent = Reference(self.base.image, str(self.base.number))
        self.made = publish(
            self.store,
            output,
            self.base.image,
            progress,
            parent=parent,
            plan=plan,
            settling=self._settle,
        )

    def _settle(self, change: Writing, made: Generation) -> None:
        if self.newest is not None:
            _check_newest(change, self.base.image, self.newest, made)
        if self.goal and not find_channel(change, made.image, self.goal).pinned:
            number = Reference(made.image, str(made.number))
            self.moved = promote(change, number, self.goal, f"made from {self.base.name}")
        self.ending(change, made)


def start_from(view: Reading, reference: Reference) -> Generation:
    """The generation that an update starts from: the one that is named, or the image's newest that
    may be used.

    Raises: NotListed, Revoked where it, or every one, is revoked.
    """
    if reference.at:
        found = resolve(view, reference)
        check_usable(view, found)
        return found
    line = in_line(view, list_generations(view, reference.image))
    if not line:
        raise NotListed(where=f"generation {reference}", why="the image has none yet")
    for one in reversed(line):
        if one.expired is None and not one.is_revoked(view.now):
            return one
    raise Revoked(where=f"image {reference.image}", why="all of its generations are, or given up")


def update_job(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The jobs `update` and `late-patch`: facts are the image, the number of the generation that it
    starts from, the channel that is to point at the result, and what is asked for besides the
    site's wishes.

    Raises: as `renew`.
    """
    facts = job.facts
    reference = Reference(facts["image"], str(facts["number"]))
    site = with_options(desk.site, mode=facts.get("mode"))
    manner = Manner(scratch=desk.workplace.scratch)

    def ending(change: Writing, made: Generation) -> None:
        desk.end(change, {"generation": made.name, "base": f"{reference}"})

    answer = renew(
        desk.store,
        reference,
        site,
        desk.progress,
        manner,
        channel=facts.get("channel"),
        aside=job.kind == LATE,
        ending=ending,
    )
    done = answer.generation.name if answer.generation else ""
    return {"generation": done, "base": answer.base.name, "plan": answer.update.plan_id}


def _goal(view: Reading, image: str, channel: str | None) -> str:
    """The channel that is to point at what is made.

    Raises: NotListed.
    """
    if channel is not None:
        return find_channel(view, image, channel).name if channel else ""
    known = list_channels(view, image)
    return known[0].name if known else ""


def _check_newest(change: Writing, image: str, newest: int, made: Generation) -> None:
    """Nobody published anything since the work began.

    Raises: PlanMoved.
    """
    between = [
        one.number
        for one in in_line(change, list_generations(change, image))
        if newest < one.number and one.number != made.number
    ]
    if between:
        why = f"{image}@{between[-1]} was published meanwhile"
        raise PlanMoved(where=f"image {image}", why=why)


@contextlib.contextmanager
def _workshop(base: Generation, scratch: Path | None) -> Iterator[Path]:
    """A folder for bringing one generation up to date, for this worker alone.

    It is the same after a kill, so that work that was done is found again; it goes at the end.
    """
    place = (scratch or default_folder().parent) / FOLDER
    name = f"{base.image}-{base.number}-{hex_of(base.digest)[:DIGITS]}"
    with contextlib.ExitStack() as stack:
        for number in range(1, TOGETHER + 1):
            folder = place / (name if number == 1 else f"{name}.{number}")
            try:
                stack.enter_context(alone_in(folder))
            except Busy:
                if number == TOGETHER:
                    raise
                continue
            break
        try:
            yield folder
        except RegildError as error:
            if not error.retryable:  # its logs stay, below `job`
                for name in ("in", "out"):
                    shutil.rmtree(folder / name, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _brought(store: Store, base: Generation, folder: Path, progress: Progress) -> Path:
    """A generation's files in a folder, taken out of the store unless they are there."""
    name = base.files[0].name if base.form != "folder" else base.image
    path = folder / name
    if not path.exists():
        _emptied(folder)
        export(store, Reference(base.image, str(base.number)), path, progress)
    return path


def _emptied(folder: Path) -> Path:
    with translated(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    return folder
