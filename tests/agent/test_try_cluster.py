"""The script of docs/deploy that starts everything on one machine: an agent has a generation pushed
by its workers, over PostgreSQL and TLS, and nothing is left when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli import golden
from tests.cli.registries import require_registry
from tests.store.databases import find_binaries

SCRIPT = Path(__file__).parents[2] / "docs/deploy/try_cluster.py"
REGILD = Path(sys.executable).with_name("regild")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    find_binaries()
    require_registry()
    folder = tmp_path / "all"
    with subprocess.Popen(
        [sys.executable, SCRIPT, folder], stdout=subprocess.PIPE, text=True
    ) as script:
        try:
            assert script.stdout is not None
            assert script.stdout.readline().startswith("ready: 3 workers")
            yield folder, script
        finally:
            script.terminate()


def regild(*words: str | Path) -> Any:
    done = subprocess.run([REGILD, *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def of(folder: Path) -> set[int]:
    """The processes whose command line or database names what is in a folder."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and int(path.parent.name) != os.getpid():
            found.add(int(path.parent.name))
    return found


def database_of(folder: Path) -> Path:
    """Where the database's files are."""
    (line,) = (one for one in (folder / "regild.toml").read_text().splitlines() if "host=" in one)
    return Path(line.partition("host=")[2].strip('"'))


def test_one_script_starts_all_of_it_and_ends_all_of_it(
    started: tuple[Path, subprocess.Popen[str]], tmp_path: Path
) -> None:
    folder, script = started
    options = (folder / "options").read_text().split()
    config = options[:2]
    disk = golden.filesystem(tmp_path)
    regild("image", "add", "web", *config)
    regild("publish", disk, "--image", "web", "--channel", "production", *config)
    victim = next(one for one in of(folder) if b"worker-2" in _words(one))
    os.kill(victim, signal.SIGKILL)
    done = regild("agent", "run", "--once", "--wait", "120", *options)
    assert done["failures"] == []
    assert "pushed" in {one["what"] for one in done["done"]}
    registry = (folder / "regild.toml").read_text().partition("oci+http://")[2].partition("/")[0]
    with urllib.request.urlopen(f"http://{registry}/v2/golden/tags/list", timeout=30) as answer:
        assert "web-1" in json.load(answer)["tags"]
    place = database_of(folder)
    assert of(place)
    script.terminate()  # as systemd would; an interrupt may be ignored where tests run
    assert script.wait(120) == 0
    assert (of(folder), of(place), place.exists()) == (set(), set(), False)
    again = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (1, f"{folder} cannot be made: File exists\n")


def _words(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()
