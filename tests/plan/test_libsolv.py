"""The solver's process: it may die of one question, and the next one is answered all the same."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regild.errors import CommandFailed, Malformed
from regild.model.release import IndexFile
from regild.plan import solving
from regild.plan.libsolv import open_libsolv
from regild.plan.solver import Request
from tests.feeds.repositories import Deb, content_of
from tests.plan.test_worlds import MAIN, SECURITY, World, told


def children() -> set[int]:
    """The processes that this one has started; a solver looks like any other of them."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                found.add(int(place.name))
        except OSError:
            continue
    return found


def test_a_solver_that_died_is_started_anew(tmp_path: Path) -> None:
    others = children()
    with open_libsolv() as solve:
        world = World(tmp_path, solve)
        question = ([Deb("a")], [Deb("a", "2")])
        assert told(world.plan(*question)) == ["a 2"]
        (first,) = children() - others
        os.kill(first, signal.SIGKILL)
        with pytest.raises(CommandFailed):
            world.plan(*question)
        assert told(world.plan(*question)) == ["a 2"]
        (second,) = children() - others
        assert second != first
    assert second not in children()


def test_a_question_that_is_refused_leaves_the_process_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text("Package: a\nVersion: \x07\nArchitecture: amd64\n\n")
    content = content_of([Deb("a")], (MAIN, SECURITY))
    index = IndexFile(str(tmp_path / "Packages"), content.state, "a hostile index")
    others = children()
    with open_libsolv() as solve:
        for _ in range(2):
            with pytest.raises(Malformed):
                solve(Request(content.planning, (index,), "upgrade"))
        assert len(children() - others) == 1


LIMITED = """
import resource
from regild.host import child
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for forks in (True, False):
    child.can_fork = lambda: forks
    with child.open_child("regild.plan.solving", "the solver") as solver:
        assert b"Unforeseen" in solver.ask(b"no question", 60)
"""


def test_a_caller_may_have_less_memory_than_a_solver_is_let_have() -> None:
    subprocess.run([sys.executable, "-c", LIMITED], check=True, timeout=120)


def test_a_solver_needs_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(solving, "STATM", Path("/nowhere"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: found.append(limits))
    solving._bound_memory()
    assert found == [(solving.MEMORY_BYTES_MAX, solving.MEMORY_BYTES_MAX)]
