"""Plans for guests of apk, against facts that are written down here: apk-tools itself is not to be
had as a package of Debian, so none of this is proven by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from regild.errors import Unsolvable, UnsupportedError
from regild.model.content import Planning, TextFile
from regild.model.digest import sha256_of
from regild.model.plan import Mode
from regild.model.release import IndexFile
from regild.plan.apk.answer import answer, open_shelf
from regild.plan.solver import Request, Transaction
from tests.feeds.apk_repositories import block


@dataclass(frozen=True)
class World:
    """What a guest of apk asks for, has, and is offered, and what must come of it."""

    world: str
    installed: Sequence[str]
    offers: Sequence[str]
    moves: Sequence[str]
    holds: tuple[str, ...] = ()
    edge: Sequence[str] = ()
    """What a repository with the tag `edge` offers."""
    kept: tuple[str, ...] = ()


A1, A2, B1, B2 = block("a", "1-r0"), block("a", "2-r0"), block("b", "1-r0"), block("b", "2-r0")
LIB1 = block("lib", "1-r0", p="so:lib.so.1=1.0")
LIB2 = block("lib", "2-r0", p="so:lib.so.2=2.0")

WORLDS = {
    "everything goes to its newest version": World(
        "a b", [A1, B1], [A2, B2], ["a 1-r0 2-r0", "b 1-r0 2-r0"]
    ),
    "nothing goes back": World("a", [A2], [A1], []),
    "a revision counts": World("a", [A1], [block("a", "1-r1")], ["a 1-r0 1-r1"]),
    "a candidate is older": World("a", [block("a", "1_rc1-r0")], [A1], ["a 1_rc1-r0 1-r0"]),
    "a new dependency comes": World(
        "a", [A1], [block("a", "2-r0", D="b>=1"), B1], ["a 1-r0 2-r0", "b  1-r0"]
    ),
    "what nobody needs goes": World(
        "a", [block("a", "1-r0", D="b"), B1], [A2], ["a 1-r0 2-r0", "b 1-r0 "]
    ),
    "a library changes its name": World(
        "a",
        [block("a", "1-r0", D="so:lib.so.1"), LIB1],
        [block("a", "2-r0", D="so:lib.so.2"), LIB2],
        ["a 1-r0 2-r0", "lib 1-r0 2-r0"],
    ),
    "a version that cannot be had is passed over": World(
        "a", [A1], [A2, block("a", "3-r0", D="nowhere")], ["a 1-r0 2-r0"], kept=("a",)
    ),
    "the world sets a bound": World(
        "a<2", [A1], [A2, block("a", "1-r5")], ["a 1-r0 1-r5"], kept=("a",)
    ),
    "the world pins a version": World("a=1-r0", [A1], [A2], [], kept=("a",)),
    "a fuzzy version": World(
        "a~1.2",
        [block("a", "1.2.1-r0")],
        [block("a", "1.2.9-r0"), block("a", "1.20-r0")],
        ["a 1.2.1-r0 1.2.9-r0"],
        kept=("a",),
    ),
    "a hold": World("a b", [A1, B1], [A2, B2], ["b 1-r0 2-r0"], holds=("a",), kept=("a",)),
    "a conflict keeps the old one": World(
        "a b", [A1, B1], [block("a", "2-r0", D="!b")], [], kept=("a",)
    ),
    "one provider of a name": World(
        "a tool",
        [A1, block("x", "1-r0", p="tool=1")],
        [A2, block("y", "1-r0", p="tool=2")],
        ["a 1-r0 2-r0"],
    ),
    "it comes in by itself": World(
        "a",
        [A1],
        [A2, block("a-doc", "2-r0", i="a=2-r0 docs"), block("docs", "1-r0")],
        ["a 1-r0 2-r0"],
    ),
    "it comes in where all is there": World(
        "a docs",
        [A1, block("docs", "1-r0")],
        [A2, block("a-doc", "2-r0", i="a=2-r0 docs")],
        ["a 1-r0 2-r0", "a-doc  2-r0"],
    ),
    "a tag that nobody asks for": World("a", [A1], [], [], edge=[A2]),
    "a tag that the world asks for": World(
        "a@edge b", [A1, B1], [], ["a 1-r0 2-r0"], edge=[A2, B2]
    ),
}


def asked(folder: Path, world: World, mode: Mode = "upgrade") -> Transaction:
    indexes = []
    for tag, offers in (("", world.offers), ("edge", world.edge)):
        path = folder / f"index{tag}"
        path.write_text("\n".join(offers))
        indexes.append(IndexFile(str(path), sha256_of(b""), tag, form="apk", suite=tag))
    planning = Planning(
        type="apk",
        status="\n".join(world.installed),
        architectures=("x86_64",),
        preferences=(TextFile("/etc/apk/world", world.world.replace(" ", "\n") + "\n"),),
    )
    request = Request(planning, tuple(indexes), mode, world.holds)
    return answer(open_shelf(request), request)


@pytest.mark.parametrize("name", WORLDS)
def test_the_transaction_is_what_was_written_down(name: str, tmp_path: Path) -> None:
    world = WORLDS[name]
    found = asked(tmp_path, world)
    assert sorted(f"{one.name} {one.was} {one.becomes}" for one in found.moves) == sorted(
        world.moves
    )
    assert found.kept == world.kept


def test_a_world_that_cannot_be_had_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unsolvable, match="nowhere"):
        asked(tmp_path, World("a nowhere", [A1], [A2], []))


def test_security_alone_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="do not say which releases are for security"):
        asked(tmp_path, World("a", [A1], [A2], []), "security")
