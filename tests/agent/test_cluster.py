"""Work on several processes: every job once, every image answered, nothing beyond this machine
without TLS."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from regild.agent.keeping.engine import Workplace, finish
from regild.agent.keeping.storing import Store, open_store
from regild.agent.minding.cluster import OnCluster, each_on
from regild.agent.site import Site
from regild.errors import Malformed, NotPermitted, RegildError, Unreachable, UsageError
from regild.host.cluster import Cluster, ClusterWish, Tls, open_cluster
from regild.model.progress import Progress, Silent
from regild.store.events import list_events
from regild.store.jobs import read_job, submit_job
from tests.agent.crew import Teaching, free_port, open_crew, scheduler_line, worker_line

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with open_cluster(ClusterWish(workers=2)) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def submit(store: Store, *keys: str, seconds: float = 0) -> None:
    with store.catalogue.writing("tests") as change:
        for key in keys:
            submit_job(change, key, "note_effect", key, {"seconds": seconds})


def effects(store: Store) -> list[str]:
    with store.catalogue.reading() as view:
        return sorted(one.subject for one in list_events(view, kind="effect"))


def test_no_stranger_on_this_machine_is_listened_to(cluster: Cluster) -> None:
    """A call is a program: a user who finds the port could be whoever runs regild."""
    import distributed

    address: str = cluster._client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    stranger = distributed.Security.temporary()
    for tried, security in ((address, stranger), (address.replace("tls", "tcp"), None)):
        with pytest.raises(OSError), distributed.Client(tried, security=security, timeout=3):
            pass


def test_no_page_shows_what_is_worked_on(cluster: Cluster) -> None:
    """Image names are nobody else's business, and any user of the machine can open a page."""
    assert cluster.ask("warm", os.getpid).result()
    own = psutil.Process()
    ports = {
        one.laddr.port
        for process in (own, *own.children(recursive=True))
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }
    assert ports
    for port in ports:
        for page in ("", "status", "info/main/workers.html", "json/identity.json", "metrics"):
            with pytest.raises((OSError, http.client.HTTPException)):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10)


def test_jobs_are_done_by_workers_each_once(cluster: Cluster, store: Store, tmp_path: Path) -> None:
    keys = [f"job-{number}" for number in range(12)]
    submit(store, *keys)
    jobs = OnCluster(Workplace(Site(), tmp_path / "store"), Teaching(cluster))
    ended = list(finish(jobs, store.catalogue, keys))
    assert {one.state for one in ended} == {"done"}
    assert os.getpid() not in {one.result["by"] for one in ended}
    assert effects(store) == sorted(keys)


def test_a_killed_workers_job_is_done_by_another(
    cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    submit(store, "long", seconds=2)
    jobs = OnCluster(Workplace(Site(), tmp_path / "store"), Teaching(cluster))
    jobs.give("long")
    until = time.monotonic() + 60
    while True:
        with store.catalogue.reading() as view:
            row = read_job(view, "long")
        if row.state == "running":
            break
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(int(row.owner.split(":")[1]), signal.SIGKILL)
    (ended,) = finish(jobs, store.catalogue, ["long"])
    assert (ended.state, ended.attempts) == ("done", 2)
    assert effects(store) == ["long"]


@pytest.mark.timeout(300)
def test_what_only_some_workers_can_do_goes_to_those(store: Store, tmp_path: Path) -> None:
    port = free_port()
    scheduler = f"tcp://127.0.0.1:{port}"
    able = worker_line(scheduler, "--resources", "update=1")
    lines = {"scheduler": scheduler_line(port), "any": worker_line(scheduler), "able": able}
    keys = [f"{kind}:{number}" for number in range(4) for kind in ("update", "push")]
    submit(store, *keys)
    with open_crew(tmp_path, lines):
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(Unreachable), open_cluster(ClusterWish(0, scheduler)) as found:
                if found.workers == 2:
                    assert found.resources == {"update"}
                    which = found.ask("which", os.getpid, needs="update").result()
                    jobs = OnCluster(Workplace(Site(), tmp_path / "store"), Teaching(found))
                    ended = list(finish(jobs, store.catalogue, keys))
                    break
            assert time.monotonic() < until
            time.sleep(0.3)
    assert {one.state for one in ended} == {"done"}
    assert {one.result["by"] for one in ended if one.key.startswith("update:")} == {which}


class Measuring:
    """Work of the tests: how long a file is."""

    @contextmanager
    def open(self, progress: Progress) -> Iterator[Callable[[Path], int]]:
        """Files that are empty cannot be read."""

        def measured(path: Path) -> int:
            if path.stat().st_size == 0:
                raise Malformed(where=path.name, why="it is empty")
            return path.stat().st_size

        yield measured


def test_every_image_is_answered_and_one_that_fails_keeps_no_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    paths = tuple(tmp_path / f"{number:02}" for number in range(20))
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * number)
    missing = tmp_path / "none"
    found = dict(each_on(cluster, Measuring(), (*paths, missing), Silent()))
    assert [found[path] for path in paths[1:]] == list(range(1, 20))
    assert isinstance(found[paths[0]], Malformed)
    assert isinstance(found[missing], RegildError)
    assert "No such file" in str(found[missing])


def test_beyond_this_machine_there_is_no_cluster_without_tls() -> None:
    for address in ("tcp://192.0.2.1:8786", "tcp://cluster.example:8786"):
        with pytest.raises(NotPermitted, match="tls://"), open_cluster(ClusterWish(0, address)):
            pass
    with pytest.raises(UsageError, match="--tls-ca"), open_cluster(ClusterWish(0, "tls://h:1")):
        pass


@pytest.mark.parametrize("address", ["cluster:8786", "http://127.0.0.1:1", "tcp://"])
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(UsageError, match="tls://HOST:PORT"), open_cluster(ClusterWish(0, address)):
        pass


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    with (
        pytest.raises(UsageError, match=r"ca\.pem"),
        open_cluster(ClusterWish(0, "tls://h:1", tls)),
    ):
        pass


def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regild.host.cluster.CONNECT_SECONDS", 1)
    with (
        pytest.raises(Unreachable, match="no scheduler answers"),
        open_cluster(ClusterWish(0, f"tcp://127.0.0.1:{free_port()}")),
    ):
        pass
