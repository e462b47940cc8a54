"""A scheduler, workers and an agent as processes that tests may kill, and the work they do.

python -m tests.agent.crew CONFIG SCHEDULER      has every job of the catalogue done, then ends
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from regild.agent.keeping import engine
from regild.agent.keeping.engine import Desk, Workplace, finish
from regild.agent.keeping.publishing import publish
from regild.agent.keeping.storing import open_store
from regild.agent.minding.cluster import OnCluster
from regild.agent.site import Site
from regild.host.cluster import Call, Cluster, ClusterWish, open_cluster
from regild.model.generation import Generation
from regild.model.job import Job
from regild.store import Writing
from regild.store.events import tell
from regild.store.jobs import list_jobs

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 6.0
"""What a test can wait for."""
IMAGE_BYTES = 600 * 512
TABLE = bytes(446) + struct.pack("<4x B 3x II", 0x82, 1, 600) + bytes(48) + b"\x55\xaa"
"""A master boot record with one partition."""
SWAP_AT, SWAP = 4086, b"SWAPSPACE2"
"""What says that a partition is swap space: something that regild knows, and has no guest."""


def note_effect(desk: Desk, job: Job) -> Mapping[str, Any]:
    """An effect in the catalogue, together with the job's end."""
    time.sleep(job.facts.get("seconds", 0))
    with desk.store.catalogue.writing("worker") as change:
        tell(change, "effect", job.subject)
        desk.end(change, {"by": os.getpid()})
    return {}


def publish_image(desk: Desk, job: Job) -> Mapping[str, Any]:
    """A small disk becomes a generation of the store, together with the job's end."""
    path = Path(job.facts["folder"]) / f"{job.facts['image']}.raw"
    if not path.exists():
        body = random.Random(job.key).randbytes(IMAGE_BYTES)
        content = TABLE + body[:SWAP_AT] + SWAP + body[SWAP_AT + len(SWAP) :]
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.rename(path)

    def ending(change: Writing, made: Generation) -> None:
        desk.end(change, {"generation": made.name})

    publish(desk.store, path, job.facts["image"], desk.progress, settling=ending)
    return {}


WORKS = {
    "note_effect": "tests.agent.crew:note_effect",
    "publish_image": "tests.agent.crew:publish_image",
}


def as_taught(work: Callable[..., Any], *facts: Any) -> Any:
    """On a worker: know the tests' kinds of work, and give up soon on who is silent."""
    engine.WORKS.update(WORKS)
    engine.LEASE_SECONDS = LEASE_SECONDS
    return work(*facts)


class Teaching(Cluster):
    """A cluster whose workers know the tests' kinds of work."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster._client)

    def ask(self, name: str, work: Callable[..., Any], *facts: Any, needs: str = "") -> Call:
        """The same, told to a worker that is taught first."""
        return super().ask(name, as_taught, work, *facts, needs=needs)


def drive(config: Path, scheduler: str) -> None:
    """Have every job done."""
    wish = ClusterWish(scheduler=scheduler)
    with open_store(None, config) as store, open_cluster(wish) as cluster:
        with store.catalogue.reading() as view:
            jobs = [one for state in ("waiting", "running") for one in list_jobs(view, state=state)]
        working = OnCluster(Workplace(Site(), None, config), Teaching(cluster))
        for _ in finish(working, store.catalogue, [one.key for one in jobs]):
            pass


def free_port() -> int:
    """A port of this machine that nobody listens at just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Crew:
    """Processes by name; each is started again when it is found dead."""

    def __init__(self, folder: Path, lines: Mapping[str, list[str]]) -> None:
        self.folder, self.lines = folder, lines
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def keep_up(self) -> None:
        """Start whoever does not run."""
        for name, line in self.lines.items():
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                with (self.folder / f"{name}.log").open("ab") as log:
                    self.processes[name] = subprocess.Popen(
                        line, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
                    )

    def kill(self, name: str) -> None:
        """End one with all that it started, at once."""
        process = self.processes[name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """End all."""
        for name in self.processes:
            self.kill(name)


def scheduler_line(port: int, *options: str) -> list[str]:
    """Start a scheduler that listens on this machine only."""
    common = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", *options]
    return [sys.executable, "-m", "dask", "scheduler", *common]


def worker_line(address: str, *options: str) -> list[str]:
    """Start a worker with one process, which its nanny watches."""
    common = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "20", "--memory-limit", "0"]
    return [sys.executable, "-m", "dask", "worker", address, *common, *options]


@contextlib.contextmanager
def open_crew(folder: Path, lines: Mapping[str, list[str]]) -> Iterator[Crew]:
    """Processes that end with the block, whatever happens in it."""
    crew = Crew(folder, lines)
    try:
        crew.keep_up()
        yield crew
    finally:
        crew.end()


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2])
