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
from regild.host.run import ENVIRONMENT, TIMED_OUT
from tests.host.forks import MODULE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no other thread ran, as some test runners have; the copy needs none of them."""
    monkeypatch.setattr(opening, "can_fork", lambda: True)


def test_a_thread_that_was_waited_for_is_no_reason_against_a_copy() -> None:
    line = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from regild.host.fork import can_fork\n"
        "for _ in range(200):\n"
        "    with ThreadPoolExecutor(3) as pool:\n"
        "        list(pool.map(str, range(9)))\n"
        "    assert can_fork()\n"
    )
    subprocess.run([sys.executable, "-c", line], cwd=ROOT, check=True)


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


BEGIN = """
import gc, os, pathlib, signal, sys, time, types
from regild.errors import CommandFailed
from regild.host.child import open_child
from tests.host.forks import MODULE
out = pathlib.Path(sys.argv[1])

def tell(*words):
    with out.open("a") as file:
        print(*words, file=file)

def ask(question, seconds=60, module=MODULE):
    try:
        with open_child(module, "a copy") as child:
            return child.ask(question, seconds)
    except CommandFailed as error:
        return error.code, error.why

def early(do):
    real = os.fork
    def fork():
        process = real()
        if process == 0:
            do()
        return process
    os.fork = fork

try:
    BODY
finally:
    tell("unwound")
"""


def runs(folder: Path, body: str, *redirected: str) -> list[str]:
    """What a process of its own tells that opens copies in some way."""
    text = BEGIN.replace("BODY", body.strip().replace("\n", "\n    "))
    (folder / "begins.py").write_text(text)
    line = f'exec "{sys.executable}" "{folder}/begins.py" "{folder}/out" {" ".join(redirected)}'
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-c", line], env=around, check=True, timeout=120)
    return (folder / "out").read_text().splitlines()


def test_a_caller_may_have_no_standard_streams(tmp_path: Path) -> None:
    told = runs(tmp_path, 'tell(ask(b"tell")[:1])', "<&-", ">&-", "2>&-")
    assert told == ["b'{'", "unwound"]


def test_a_caller_may_have_the_end_of_its_children_ignored(tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
tell(ask(b"tell")[:1])
tell(ask(b"raise")[0])
"""
    assert runs(tmp_path, body) == ["b'{'", "1", "unwound"]


def test_a_copy_that_cannot_say_what_it_died_of_does_not_go_on_as_ours(tmp_path: Path) -> None:
    body = """
import io, tempfile
class Full(io.BytesIO):
    def fileno(self):
        return full.fileno()
full = open("/dev/full", "wb")
tempfile.TemporaryFile = Full
tell(ask(b"raise")[0])
"""
    assert runs(tmp_path, body) == ["1", "unwound"]


def test_a_signal_that_comes_early_does_not_unwind_what_is_ours(tmp_path: Path) -> None:
    body = """
early(lambda: os.kill(os.getpid(), signal.SIGINT))
tell(ask(b"tell")[0])
"""
    assert runs(tmp_path, body) == [str(128 + signal.SIGINT), "unwound"]


def test_signals_that_a_caller_blocks_reach_the_copy(tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
sys.modules["sends"] = types.SimpleNamespace(main=lambda: signal.raise_signal(signal.SIGUSR1))
tell(ask(b"", module="sends")[0])
tell(signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    assert runs(tmp_path, body) == [str(128 + signal.SIGUSR1), "True", "unwound"]


def test_a_copy_that_has_hardly_begun_is_ended(tmp_path: Path) -> None:
    body = """
early(lambda: time.sleep(1))
with open_child(MODULE, "a copy"):
    tell("open")
"""
    assert runs(tmp_path, body) == ["open", "unwound"]


def test_a_copy_whose_maker_died_before_it_began_does_not_begin(tmp_path: Path) -> None:
    body = """
def begun():
    tell("begun")
    return 0
sys.modules["begins"] = types.SimpleNamespace(main=begun)
early(lambda: (tell(os.getpid()), time.sleep(1)))
with open_child("begins", "a copy"):
    while not out.exists():
        time.sleep(0.01)
    os._exit(0)
"""
    (copy,) = runs(tmp_path, body)
    until = time.monotonic() + 30
    while is_running(int(copy)) and time.monotonic() < until:
        time.sleep(0.05)
    assert (tmp_path / "out").read_text().splitlines() == [copy]


def test_garbage_of_ours_closes_nothing_of_a_copy(tmp_path: Path) -> None:
    body = """
gc.disable()
class Left:
    pass
left = Left()
low = [open(os.devnull) for _ in range(4)]
left.itself, left.file = left, open(os.devnull)
number = left.file.fileno()
del left
def main():
    mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(number)]
    gc.collect()
    os.fstat(number)
    return 3 if number in mine else 4
sys.modules["collects"] = types.SimpleNamespace(main=main)
tell(ask(b"", module="collects")[0])
"""
    assert runs(tmp_path, body) == ["3", "unwound"]


@pytest.mark.usefixtures("alone")
def test_a_copy_that_does_not_take_its_question_is_out_of_time() -> None:
    with open_child(MODULE, "a copy") as child:
        child.ask(b"work", 60)
        with pytest.raises(CommandFailed) as caught:
            child.ask(bytes(1 << 20), 1)
    assert caught.value.code == TIMED_OUT and "in time" in caught.value.why


def is_running(process: int) -> bool:
    """Whether a process is there and not only waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
