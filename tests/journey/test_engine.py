"""The engine as it is run in earnest: PostgreSQL, a scheduler, four workers and an agent, all
killed now and then; and a scheduler behind TLS."""

from __future__ import annotations

import datetime as dt
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from regild.agent.keeping.storing import Store, open_store
from regild.errors import RegildError, Unreachable
from regild.host.cluster import ClusterWish, Tls, open_cluster
from regild.model.progress import Silent
from regild.store.check import check_store
from regild.store.generations import list_generations
from regild.store.images import add_image
from regild.store.jobs import list_jobs, submit_job
from tests.agent.crew import Crew, free_port, open_crew, scheduler_line, worker_line
from tests.store.databases import Server, open_server_with_hands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = 200
WORKERS = 4
SECONDS = 600


@pytest.fixture
def server() -> Iterator[tuple[str, Server]]:
    with open_server_with_hands() as opened:
        yield opened


def test_every_jobs_effect_is_there_once_whoever_is_killed(
    server: tuple[str, Server], tmp_path: Path
) -> None:
    address, database = server
    config = tmp_path / "regild.toml"
    config.write_text(f'[store]\ncatalogue = "{address}"\nblobs = "{tmp_path / "blobs"}"\n')
    images = tmp_path / "images"
    images.mkdir()
    with open_store(None, config) as store, store.catalogue.writing("tests") as change:
        for number in range(JOBS):
            name = f"image-{number:03}"
            facts = {"image": name, "folder": str(images)}
            add_image(change, name)
            submit_job(change, f"publish:{number}", "publish_image", name, facts)
    port = free_port()
    scheduler = f"tcp://127.0.0.1:{port}"
    lines = {"scheduler": scheduler_line(port)}
    lines |= {f"worker-{n}": worker_line(scheduler) for n in range(WORKERS)}
    lines["agent"] = [sys.executable, "-m", "tests.agent.crew", str(config), scheduler]
    killed: Counter[str] = Counter()
    with open_crew(tmp_path, lines) as crew:
        _until_done(crew, database, config, killed)
    assert min(killed[kind] for kind in ("worker", "agent", "scheduler", "database")) >= 1, killed
    assert killed["worker"] >= 4, killed
    with open_store(None, config) as store:
        _check(store)


def _until_done(crew: Crew, database: Server, config: Path, killed: Counter[str]) -> None:
    """Kill somebody whenever another twelfth of the work is done."""
    chance = random.Random(1)
    victims = iter(
        ["worker", "agent", "worker", "scheduler", "worker", "database", "worker", "agent"]
    )
    until, next_kill = time.monotonic() + SECONDS, JOBS // 12
    while True:
        assert time.monotonic() < until, _told(crew)
        time.sleep(0.3)
        crew.keep_up()
        done, left = _count(config)
        if not left:
            return
        if done < next_kill:
            continue
        next_kill += JOBS // 12
        victim = next(victims, "")
        if victim == "database":
            database.stop()  # at once, without a word to anybody
            database.start()
        elif victim == "worker":
            crew.kill(f"worker-{chance.randrange(WORKERS)}")
        elif victim:
            crew.kill(victim)
        killed[victim] += 1


def _count(config: Path) -> tuple[int, int]:
    """How many jobs are done, and how many are left; nothing while the database is away."""
    try:
        with open_store(None, config) as store, store.catalogue.reading() as view:
            rows = list_jobs(view)
    except RegildError:
        return 0, JOBS
    assert not [one.why for one in rows if one.state == "failed"]
    done = sum(one.state == "done" for one in rows)
    return done, len(rows) - done


def _check(store: Store) -> None:
    """Each job made one generation of its image, and every byte of it is there."""
    with store.catalogue.reading() as view:
        made = Counter(one.image for one in list_generations(view))
        jobs = list_jobs(view, state="done")
    assert made == Counter({f"image-{number:03}": 1 for number in range(JOBS)})
    assert {one.result["generation"].partition("@")[0] for one in jobs} == set(made)
    assert len(jobs) == JOBS
    assert check_store(store.catalogue, store.shelf, Silent()) == ()


def _told(crew: Crew) -> str:
    logs = sorted(crew.folder.glob("*.log"))
    return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in logs)


def test_a_scheduler_behind_tls_takes_those_with_certificates(tmp_path: Path) -> None:
    tls = _certificates(tmp_path)
    port = free_port()
    files = ["--tls-ca-file", str(tls.authority), "--tls-cert", str(tls.certificate)]
    files += ["--tls-key", str(tls.key)]
    address = f"tls://127.0.0.1:{port}"
    lines = {
        "scheduler": scheduler_line(port, "--protocol", "tls", *files),
        "worker": worker_line(address, *files),
    }
    (tmp_path / "other").mkdir()
    strangers = _certificates(tmp_path / "other")
    with open_crew(tmp_path, lines) as crew:
        until = time.monotonic() + 120
        while True:
            try:
                with open_cluster(ClusterWish(0, address, tls)) as cluster:
                    assert cluster.ask("sum", sum, (1, 2)).result() == 3
                break
            except Unreachable:
                assert time.monotonic() < until, _told(crew)
        with pytest.raises(Unreachable), open_cluster(ClusterWish(0, address, strangers)):
            pass


def _certificates(folder: Path) -> Tls:
    """An authority, and a certificate of its that serves either side."""
    now = dt.datetime.now(dt.UTC)
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "regild tests")])
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])

    def signed(subject: x509.Name, of: ec.EllipticCurvePrivateKey, is_authority: bool) -> bytes:
        begin, end = now - dt.timedelta(days=1), now + dt.timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .sign(authority, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    tls = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    tls.authority.write_bytes(signed(name, authority, True))
    tls.certificate.write_bytes(signed(own, key, False))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tls
