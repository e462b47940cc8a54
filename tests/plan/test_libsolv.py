"""The solver's process: it may die of one question, and the next one is answered all the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from regild.errors import CommandFailed, Malformed
from regild.model.release import IndexFile
from regild.plan.libsolv import open_libsolv
from regild.plan.solver import Request
from tests.feeds.repositories import Deb, content_of
from tests.plan.test_worlds import MAIN, SECURITY, World, told


def children() -> set[int]:
    """The processes that this one has started: no others than solvers."""
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
    with open_libsolv() as solve:
        world = World(tmp_path, solve)
        question = ([Deb("a")], [Deb("a", "2")])
        assert told(world.plan(*question)) == ["a 2"]
        (first,) = children()
        os.kill(first, signal.SIGKILL)
        with pytest.raises(CommandFailed):
            world.plan(*question)
        assert told(world.plan(*question)) == ["a 2"]
        (second,) = children()
        assert second != first
    assert not children()


def test_a_question_that_is_refused_leaves_the_process_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text("Package: a\nVersion: \x07\nArchitecture: amd64\n\n")
    content = content_of([Deb("a")], (MAIN, SECURITY))
    index = IndexFile(str(tmp_path / "Packages"), content.state, "a hostile index")
    with open_libsolv() as solve:
        for _ in range(2):
            with pytest.raises(Malformed):
                solve(Request(content.planning, (index,), "upgrade"))
        assert len(children()) == 1
