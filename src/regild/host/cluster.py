"""Processes that work for this one, here or on other machines: a cluster of Dask.

By default a few processes of this machine that end with us (`LocalCluster`); with an address the
cluster that somebody runs (SSH, Kubernetes, Slurm). Calls travel as pickles, so whoever reaches a
scheduler can run anything on its workers: an address beyond this machine is taken with TLS only,
and the processes of this machine ask each other for certificates too.
What a worker was doing when it died is done again by another.
Source: documentation of dask.distributed ("Security", "Limitations", "Resilience").
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from regild.errors import (
    HostError,
    LibraryMissing,
    NotPermitted,
    Unanswered,
    Unreachable,
    UsageError,
)

WORKERS_LIMIT = 64
CONNECT_SECONDS = 30
LOCAL = ("localhost",)
SETTINGS = {
    "distributed.worker.daemon": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Workers start programs of their own, which a daemon may not. Pages about the work, with the names
of images in them, would be shown to every user of the machine, so there are none."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates for a cluster beyond this machine, in PEM: its authority's, ours and our key."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ClusterWish:
    """Which processes are to work: so many of this machine, or those behind a scheduler."""

    workers: int = 0
    """0: as many as there are processors."""
    scheduler: str = ""
    tls: Tls | None = None


class Call(Protocol):
    """Something that a worker was asked to do."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""

    def result(self) -> Any:
        """What it gave; raises what it raised, or HostError where its workers died of it."""


class Cluster:
    """Workers that do what they are asked; made by `open_cluster`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def workers(self) -> int:
        """How many workers there are just now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    @property
    def resources(self) -> set[str]:
        """What some worker was started with (`dask worker --resources "NAME=COUNT"`)."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {name for one in workers.values() for name in one.get("resources", {})}

    def ask(self, name: str, work: Callable[..., Any], *facts: Any, needs: str = "") -> Call:
        """Have a worker call a function of regild's; `name` is told in the cluster's own pages.

        Where `needs` is given, only workers that were started with that resource are asked.

        Raises: Unanswered where the scheduler is gone.
        """
        resources = {needs: 1} if needs else None
        if self._client.status != "running":
            raise Unanswered(where="the scheduler", why="the connection to it has ended")
        future = self._client.submit(work, *facts, key=name, pure=False, resources=resources)
        return _Call(name, future)

    def at_work(self) -> dict[str, str]:
        """What each busy worker is at: the name of its oldest call, by the worker's own name."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        found = {}
        for address, calls in self._client.processing().items():
            if calls and address in workers:
                found[str(workers[address].get("name", address))] = str(calls[0])
        return dict(sorted(found.items()))

    def wait(self, calls: list[Call], seconds: float) -> None:
        """Wait until one of the calls has ended, or for so long."""
        import distributed

        wait = cast(Callable[..., object], distributed.wait)
        futures = [cast(_Call, call).future for call in calls]
        if futures:
            with contextlib.suppress(TimeoutError):
                wait(futures, timeout=seconds, return_when="FIRST_COMPLETED")


class _Call:
    def __init__(self, name: str, future: Any) -> None:
        self.name, self.future = name, future

    def done(self) -> bool:
        return bool(self.future.done())

    def result(self) -> Any:
        """What the job gave back; waits for it."""
        from distributed import CancelledError, KilledWorker

        try:
            return self.future.result()
        except KilledWorker as error:
            why = "several workers in turn died while they were at it"
            raise HostError(where=self.name, why=why) from error
        except CancelledError as error:
            raise HostError(where=self.name, why="the cluster has forgotten it") from error


@contextlib.contextmanager
def open_cluster(wish: ClusterWish) -> Iterator[Cluster]:
    """The workers that are wished for; those of this machine end with the block.

    Raises: LibraryMissing, UsageError, NotPermitted where an address beyond this machine comes
    without TLS, Unreachable where no scheduler answers.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        why = "to share work"
        raise LibraryMissing(where="distributed", why=why, extra="cluster") from error
    with (
        dask.config.set(SETTINGS),
        contextlib.ExitStack() as opened,
    ):
        if wish.scheduler:
            client = opened.enter_context(_far(distributed, wish))
        else:
            client = opened.enter_context(_near(distributed, wish.workers))
        yield Cluster(client)


@contextlib.contextmanager
def _near(distributed: Any, workers: int) -> Iterator[Any]:
    """Processes of this machine; nothing listens but on its own loop.

    There any user of the machine could speak to it, and a call is a program: so the processes know
    each other by a certificate that is made for this run and never written down.
    """
    if not 0 <= workers <= WORKERS_LIMIT:
        raise UsageError(what=f"--workers is from 1 to {WORKERS_LIMIT}")
    with (
        distributed.LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls",
            security=distributed.Security.temporary(),
            dashboard_address="127.0.0.1:0",  # None takes a fixed port, on every address
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,  # images are not held in memory, and a paused worker would only wait
            silence_logs="ERROR",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def _far(distributed: Any, wish: ClusterWish) -> Iterator[Any]:
    """The workers behind a scheduler's address."""
    parts = urlsplit(wish.scheduler)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname:
        what = f"a scheduler's address is tls://HOST:PORT, not {wish.scheduler}"
        raise UsageError(what=what)
    if parts.scheme == "tls" and wish.tls is None:
        what = "a scheduler behind TLS needs --tls-ca, --tls-cert and --tls-key"
        raise UsageError(what=what)
    if parts.scheme == "tcp" and not _is_here(parts.hostname):
        why = "calls are sent to it as programs, so beyond this machine it has to be tls://"
        raise NotPermitted(where=f"the scheduler {wish.scheduler}", why=why)
    try:
        client = distributed.Client(
            wish.scheduler, timeout=CONNECT_SECONDS, security=_security(distributed, wish.tls)
        )
    except (OSError, TimeoutError) as error:
        why = "no scheduler answers, or not with these certificates"
        raise Unreachable(where=f"the scheduler {wish.scheduler}", why=why) from error
    with client:
        yield client


def _security(distributed: Any, tls: Tls | None) -> Any:
    if tls is None:
        return None
    for path in (tls.authority, tls.certificate, tls.key):
        if not path.is_file():
            raise UsageError(what=f"there is no file {path}")
    return distributed.Security(
        tls_ca_file=str(tls.authority),
        tls_client_cert=str(tls.certificate),
        tls_client_key=str(tls.key),
        require_encryption=True,
    )


def _is_here(host: str) -> bool:
    """Whether an address is this machine's own loop."""
    if host in LOCAL:
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
