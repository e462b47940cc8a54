"""Everything that several machines share, on one: PostgreSQL, an OCI registry, a scheduler behind
TLS, and three workers. For trying regild on a cluster; nothing of it is made to be kept.

    python docs/deploy/try_cluster.py FOLDER            a new folder; Ctrl-C ends all of it
    regild agent run --once $(cat FOLDER/options)       in another shell

Needs the Debian packages postgresql, docker-registry and openssl, and regild[cluster,postgres] in
the Python that runs it. All of it listens on this machine's loop, on ports that are free.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

WORKERS = 3
NO_PAGES = {f"DASK_DISTRIBUTED__{one}__HTTP__ROUTES": "[]" for one in ("SCHEDULER", "WORKER")}
"""Pages would show the names of images to every user of the machine."""
READY_SECONDS = 120
SITE = """\
[store]
catalogue = "{catalogue}"
blobs = "{folder}/blobs"

[agent.images."*"]
update = false                  # true has new generations made of what lacks updates
targets = ["oci+http://{registry}/golden"]
"""
CERTIFICATES = """\
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=authority
    -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=cluster
    -keyout key.pem -out cert.csr
openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7
    -extfile names -out cert.pem
"""


def main(argv: list[str]) -> int:
    """Start all, say that it is ready, and end all when asked to."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(argv[0]).absolute()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        sys.exit(f"{folder} cannot be made: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        catalogue = start_postgresql(folder, stack)
        registry = start_registry(folder, stack)
        scheduler = start_cluster(folder, stack)
        site = SITE.format(catalogue=catalogue, folder=folder, registry=registry)
        (folder / "regild.toml").write_text(site)
        options = f"--config {folder}/regild.toml --scheduler {scheduler}"
        options += "".join(f" --tls-{one} {folder}/{one}.pem" for one in ("ca", "cert", "key"))
        (folder / "options").write_text(f"{options}\n")
        print(f"ready: {WORKERS} workers behind {scheduler}, a registry at {registry}")
        print(f"regild agent run --once $(cat {folder}/options)", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending", flush=True)
    return 0


def start_postgresql(folder: Path, stack: ExitStack) -> str:
    """A database that answers on a socket; as root it runs as nobody, since it insists on that."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        sys.exit("PostgreSQL is missing: apt-get install postgresql")
    # A socket's name has 107 signs at most (unix(7)); that of FOLDER may have more.
    place = Path(tempfile.mkdtemp(prefix="regild-try-"))
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if user:
        os.chown(place, user.pw_uid, user.pw_gid)

    def call(program: str, *words: str) -> None:
        line = [str(found[-1].with_name(program)), "-D", str(place / "data"), *words]
        with (folder / "postgresql.log").open("ab") as log:
            subprocess.run(
                line,
                check=True,
                stdout=log,
                stderr=log,
                cwd=place,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )

    call("initdb", "-U", "regild", "-A", "trust")
    stack.callback(call, "pg_ctl", "stop", "-m", "fast")
    call("pg_ctl", "start", "-w", "-o", f"-k {place} -c listen_addresses=''")
    return f"postgresql://regild@/postgres?host={place}"


def start_registry(folder: Path, stack: ExitStack) -> str:
    """A registry; which port was free, it says in its log."""
    if shutil.which("docker-registry") is None:
        sys.exit("the registry is missing: apt-get install docker-registry")
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    told = {"version": "0.1", "storage": storage, "http": {"addr": "127.0.0.1:0"}}
    (folder / "registry.yml").write_text(json.dumps(told))
    log = start(folder, "registry", ["docker-registry", "serve", f"{folder}/registry.yml"], stack)
    return until(log, r"listening on (127\.0\.0\.1:[1-9][0-9]*)")


def start_cluster(folder: Path, stack: ExitStack) -> str:
    """A scheduler and its workers, each with a certificate that the others ask for."""
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for command in re.sub(r"\n +", " ", CERTIFICATES).splitlines():
        subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    tls = [f"--tls-ca-file={folder}/ca.pem", f"--tls-cert={folder}/cert.pem"]
    common = ["--host=127.0.0.1", "--no-dashboard", *tls, f"--tls-key={folder}/key.pem"]
    dask = [sys.executable, "-m", "dask"]
    line = [*dask, "scheduler", "--protocol=tls", "--port=0", *common]
    scheduler = until(start(folder, "scheduler", line, stack), r"(tls://127\.0\.0\.1:[1-9][0-9]*)")
    logs = []
    for number in range(1, WORKERS + 1):
        own = ["--nthreads=1", "--memory-limit=0", f"--name=worker-{number}"]
        line = [*dask, "worker", scheduler, "--protocol=tls", *common, *own]
        line.append(f"--local-directory={folder}/dask")
        logs.append(start(folder, f"worker-{number}", line, stack))
    for log in logs:
        until(log, r"(Registered to)")
    return scheduler


def start(folder: Path, name: str, line: list[str], stack: ExitStack) -> Path:
    """Start something that runs until the end; the file with what it says."""
    log = folder / f"{name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            line, stdout=said, stderr=said, start_new_session=True, env={**os.environ, **NO_PAGES}
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    stack.callback(end)
    return log


def until(log: Path, pattern: str) -> str:
    """What a log says once its process is ready."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.1)
    sys.exit(f"it is not ready after {READY_SECONDS} s: {log}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
