"""A process is known by its number and its start together."""

from __future__ import annotations

import os
import subprocess

from regild.host.process import has_ended, is_running, name_of_process, spoken_name, start_of


def test_a_process_is_the_same_only_with_its_start() -> None:
    started = start_of(os.getpid())
    assert started > 0
    assert is_running(os.getpid(), started)
    assert not is_running(os.getpid(), started + 1)
    assert not is_running(0, 0)


def test_its_name_is_spoken_as_machine_and_number() -> None:
    name = name_of_process()
    assert spoken_name(name) == (os.uname().nodename, str(os.getpid()))
    assert spoken_name(f"{name}:4f2a") == spoken_name(name)
    assert not has_ended(name)


def test_one_that_ended_is_not_running() -> None:
    process = subprocess.Popen(["sleep", "60"])
    started = start_of(process.pid)
    assert is_running(process.pid, started)
    process.kill()
    process.wait()
    assert not is_running(process.pid, started)
