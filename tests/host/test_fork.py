"""A process that begins as a copy: it has nothing of ours, and does not outlive us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from regild.errors import CommandFailed
from regild.host import child as opening
from regild.host.child import open_child
from regild.host.fork import LIFELINE, can_fork
from regild.host.run import ENVIRONMENT
from tests.host.forks import MODULE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no other thread ran, as some test runners have; the copy needs none of them."""
    monkeypatch.setattr(opening, "can_fork", lambda: True)


def test_a_process_with_threads_is_not_copied() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        done.set()
        thread.join()


@pytest.mark.usefixtures("alone")
def test_a_copy_has_its_pipes_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of ours")
    with (tmp_path / "open").open("w"), open_child(MODULE, "a copy") as child:
        told = json.loads(child.ask(b"tell", 60))
    assert told["pid"] != os.getpid() and told["leads"] and told["interrupt"]
    assert told["environment"] == ENVIRONMENT
    # the copy of standard output that it makes, and the folder that it lists
    assert set(told["open"]) - {0, 1, 2, LIFELINE} <= {LIFELINE + 1, LIFELINE + 2}
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)


@pytest.mark.usefixtures("alone")
def test_what_a_copy_dies_of_is_told() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with open_child(MODULE, "a copy") as child, pytest.raises(CommandFailed) as caught:
        child.ask(b"raise", 60)
    assert caught.value.where == "a copy" and "as it was asked to" in caught.value.why
    with open_child(MODULE, "a copy") as child:
        os.kill(json.loads(child.ask(b"tell", 60))["pid"], signal.SIGKILL)
        with pytest.raises(CommandFailed) as caught:
            child.ask(b"tell", 60)
    assert caught.value.code == 128 + signal.SIGKILL
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_copy_that_works_ends_with_the_one_that_made_it() -> None:
    line = [sys.executable, "-m", MODULE]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        copy = int(parent.stdout.readline())
        assert Path(f"/proc/{copy}/stat").read_text().split()[3] == str(parent.pid)
        parent.kill()
        parent.wait()
        until = time.monotonic() + 30
        while is_running(copy):
            assert time.monotonic() < until, "it goes on without anybody who asks"
            time.sleep(0.05)


def is_running(process: int) -> bool:
    """Whether a process is there and not only waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
