"""Real databases for tests: a file of SQLite, and a PostgreSQL server of the test run's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_binaries() -> Path:
    """Where PostgreSQL's server lies on Debian; the test is skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed: scripts/setup slow")
    return found[-1].parent


@contextmanager
def open_server() -> Iterator[str]:
    """A running server in a folder of its own, reached through its socket; its address."""
    with open_server_with_hands() as (address, _):
        yield address


@contextmanager
def open_server_with_hands() -> Iterator[tuple[str, Server]]:
    """The same, with what starts and stops it."""
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="regild-pg-"))
    server = Server(binaries, folder)
    try:
        server.make()
        server.start()
        yield f"postgresql://regild@/postgres?host={folder}", server
    finally:
        server.stop()
        shutil.rmtree(folder)


class Server:
    """One PostgreSQL cluster; as root it runs as an ordinary user, which it insists on."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        self.data = folder / "data"
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def call(self, program: str, *argv: str, check: bool = True) -> None:
        rights = {"user": self.user.pw_uid, "group": self.user.pw_gid} if self.user else {}
        environment = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            subprocess.run(
                [str(self.binaries / program), "-D", str(self.data), *argv],
                check=check,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
                **rights,
                extra_groups=[] if self.user else None,
            )

    def make(self) -> None:
        self.call("initdb", "-U", "regild", "-A", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self.call("pg_ctl", "start", "-w", "-o", options)

    def stop(self) -> None:
        self.call("pg_ctl", "stop", "-m", "immediate", check=False)
