"""Upgrades in which wishes exclude each other, held against apt itself."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from regild.model.plan import Mode
from tests.feeds.repositories import Deb
from tests.plan.test_sweep import as_apt
from tests.plan.test_worlds import World, needs, random_world

# The names matter: apt visits packages in the order of a hash of theirs, p6 before p9.
VIRTUAL = {"Provides": "v1"}


def test_what_was_put_aside_comes_back_for_what_is_recommended(world: World) -> None:
    asking = {"Recommends": "v1"}
    installed = [Deb("p6"), Deb("p7", fields=VIRTUAL), Deb("p9", fields=asking)]
    main = [
        Deb("p6", "2", fields={"Conflicts": "p7"}),
        Deb("p7", "2", fields=VIRTUAL),
        Deb("p9", "2", fields=asking),
    ]
    assert as_apt(world, installed, main, "upgrade", False) == ["p7 2", "p9 2"]


def test_what_lacks_a_recommended_package_at_its_turn_is_kept_back(world: World) -> None:
    """Though it would be there again, because what takes it away is kept back after it."""
    installed = [
        Deb("p3", fields={"Essential": "yes"}),
        Deb("p5", fields=VIRTUAL),
        Deb("p11"),
        Deb("p13", fields=needs("p11")),
    ]
    main = [
        Deb("p3", "2", fields={"Recommends": "v1"}),
        Deb("p5", "2", fields={"Conflicts": "p11"}),
    ]
    assert as_apt(world, installed, main, "upgrade", False) == []


def test_what_an_upgrade_brought_that_is_given_up_may_stay(world: World) -> None:
    installed = [Deb("p2"), Deb("p9"), Deb("p8", fields=needs("p9 (<< 3)"))]
    main = [
        Deb("p2", "2", fields=needs("p3")),
        Deb("p3", "2", fields={"Essential": "yes"}),
        Deb("p9", "3", fields={"Breaks": "p2 (<< 3)"}),
    ]
    assert as_apt(world, installed, main, "upgrade", False) == ["+p3 2"]


def test_what_comes_back_does_so_with_all_that_it_needs(world: World) -> None:
    installed = [Deb("p4"), Deb("p6"), Deb("p8"), Deb("p7", fields=needs("p8"))]
    main = [
        Deb("p4", "2", fields={"Conflicts": "p8"}),
        Deb("p6", "2", fields=needs("p8 (>= 2)")),
        Deb("p8", "2", fields=needs("p9 (>= 2)")),
        Deb("p9", "2", fields=needs("nowhere")),
    ]
    for mode in ("upgrade", "full"):
        as_apt(world, installed, main, mode, False)  # type: ignore[arg-type]  # a mode


def test_what_has_to_go_does_for_others_until_all_has_come(world: World) -> None:
    installed = [Deb("p10"), Deb("p7", fields=VIRTUAL)]
    main = [
        Deb("p10", "2", fields={"Conflicts": "p7", "Recommends": "v1"}),
        Deb("p7", "2"),
        Deb("p11", fields=VIRTUAL),
    ]
    assert as_apt(world, installed, main, sweeping=False) == ["p10 2", "-p7"]


def test_what_is_excluded_is_taken_back_before_what_is_on_hold_stands_against_it(
    world: World,
) -> None:
    installed = [Deb("p5"), Deb("p6"), Deb("p8")]
    main = [
        Deb("p5", "2", fields={"Breaks": "p8 (<< 2)", "Conflicts": "p6"}),
        *(Deb("p6", "2"), Deb("p8", "2")),
    ]
    assert as_apt(world, installed, main, "upgrade", False, holds=("p8",)) == []


def test_what_is_excluded_moves_on_where_its_next_version_is_not(world: World) -> None:
    """p4 sends p6 back to what is installed; p5 wants it newer than that."""
    installed = [Deb("p4"), Deb("p5"), Deb("p6")]
    main = [
        Deb("p4", "2", fields={"Breaks": "p6 (= 2)"}),
        Deb("p5", "2", fields={"Breaks": "p6 (<< 2)"}),
        Deb("p6", "2"),
    ]
    for mode in ("upgrade", "full"):
        as_apt(world, installed, main, mode, False)  # type: ignore[arg-type]  # a mode


def test_what_provides_what_it_asks_for_weighs_more(world: World) -> None:
    asking = {"Provides": "v1", "Recommends": "v1"}
    installed = [Deb("p2"), Deb("p3", fields=asking)]
    main = [Deb("p2", "2", fields={"Conflicts": "p3"}), Deb("p3", "2", fields=asking)]
    assert as_apt(world, installed, main, sweeping=False) == ["p3 2"]


def denser(dice: random.Random, debs: Sequence[Deb], is_new: bool) -> list[Deb]:
    """Packages with virtual names, more recommendations, and some that are Essential."""
    found = []
    for one in debs:
        fields = dict(one.fields)
        if dice.random() < 0.25:
            fields["Provides"] = dice.choice(["v1", "v2"])
        if dice.random() < 0.1:
            fields["Essential"] = "yes"
        if dice.random() < 0.2 and is_new and "Depends" in fields:
            fields["Depends"] += f", {dice.choice(['v1', 'v2', 'v1 | v2', 'p3 | v1'])}"
        if dice.random() < 0.2:
            fields["Recommends"] = dice.choice(["v1", "v2", "p11", "p12 | p13", "v1 | p9"])
        found.append(Deb(one.name, one.version, fields=fields))
    return found


@pytest.mark.parametrize("mode", ["upgrade", "full"])
@pytest.mark.parametrize("seed", [3, 4, 11, 12, 15, 21, 27, 70])
def test_dense_worlds_change_as_apt_would_change_them(world: World, seed: int, mode: Mode) -> None:
    installed, main, safe, image = random_world(seed)
    dice = random.Random(seed * 31 + 5)
    image["auto"] = tuple(one.name for one in installed if dice.random() < 0.4)
    installed = denser(dice, installed, False)
    offers = [*denser(dice, main, True), *denser(dice, safe, True)]
    as_apt(world, installed, offers, mode, dice.random() < 0.5, **image)
