"""Work on a cluster: the engine that gives jobs to its workers, and one piece of work for many
images spread over them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from regild.agent.keeping.engine import Workplace, perform
from regild.agent.reading.many import Work
from regild.agent.reading.processes import answer_here, begin_here
from regild.errors import HostError, RegildError
from regild.host.cluster import Call, Cluster
from regild.host.remote import approved_hosts
from regild.model.progress import Progress, begin_count, show_rows

T = TypeVar("T")
PAUSE_SECONDS = 0.2
"""When every worker has answered and a row says otherwise, somebody else has the job for now."""
AHEAD = 4
"""So many images for each worker are handed out at once; the rest waits here."""


class OnCluster:
    """Has each job done by a worker of a cluster.

    A job whose worker died goes to another by itself; one that several workers died of is given
    again with the next turn, and its row tells what became of it. Where some worker has a resource
    that is named as a kind of job (`update`), jobs of that kind go to such workers only.
    """

    def __init__(self, workplace: Workplace, cluster: Cluster) -> None:
        self._workplace, self._cluster = workplace, cluster
        self._calls: dict[str, Call] = {}
        self._given = 0
        self._resources: set[str] = set()

    def give(self, key: str) -> None:
        """Have a job done, unless a worker has been asked and has not ended."""
        call = self._calls.get(key)
        if call is not None and not call.done():
            return
        self._given += 1
        name = f"regild-{key}-{self._given}"
        # One that has gone is waited for: the others may be machines that cannot do it.
        self._resources |= self._cluster.resources
        kind = key.partition(":")[0]
        needs = kind if kind in self._resources else ""
        self._calls[key] = self._cluster.ask(name, perform, self._workplace, key, needs=needs)

    def wait(self, seconds: float) -> None:
        """Wait until a job has ended, or for so long."""
        waiting = [call for call in self._calls.values() if not call.done()]
        if waiting:
            self._cluster.wait(waiting, seconds)
        else:
            time.sleep(min(seconds, PAUSE_SECONDS))
        for key, call in list(self._calls.items()):
            if call.done():
                del self._calls[key]

    def close(self) -> None:
        """Take on nothing more; what is under way stays rows."""
        self._calls.clear()


def each_on(
    cluster: Cluster, work: Work[T], images: tuple[Path, ...], progress: Progress
) -> Iterator[tuple[Path, T | RegildError]]:
    """What a piece of work answers for each image, or why it cannot, as the answers come in."""
    begin_count(progress, f"{len(images)} images on {cluster.workers} workers", len(images))
    since: dict[str, tuple[str, float]] = {}
    hosts, waiting = approved_hosts(), list(enumerate(images))[::-1]
    calls: dict[int, Call] = {}
    while waiting or calls:
        while waiting and len(calls) < AHEAD * max(1, cluster.workers):
            number, image = waiting.pop()
            calls[number] = cluster.ask(f"regild-{number}-{image}", answer_on, work, hosts, image)
        cluster.wait(list(calls.values()), 1.0)
        show_rows(progress, _rows(cluster, since))
        for number in [one for one, call in calls.items() if call.done()]:
            yield images[number], _result(calls.pop(number))
            progress.advance(1)


def _rows(cluster: Cluster, since: dict[str, tuple[str, float]]) -> list[str]:
    """What each worker is at, and for how long as far as it was seen."""
    now = time.monotonic()
    busy = cluster.at_work()
    for worker, name in busy.items():
        if since.get(worker, ("", 0))[0] != name:
            since[worker] = name, now
    return [
        f"worker {worker:<12} {now - begun:4.0f} s  {Path(name).name}"
        for worker, (name, begun) in sorted(since.items())
        if worker in busy
    ]


def answer_on(work: Work[Any], hosts: tuple[str, ...], image: Path) -> Any:
    """On a worker: the answer for one image; what the work opens serves the next one too."""
    begin_here(work, hosts)
    return answer_here(image)


def _result(call: Call) -> Any:
    try:
        return call.result()
    except RegildError as error:
        return error
    except Exception as error:  # what a worker's own machine came up with, an import that fails say
        return HostError(where="a worker", why=f"{type(error).__name__}: {error}")
