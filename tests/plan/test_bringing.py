"""For whom new packages come, held against apt itself in small worlds."""

from __future__ import annotations

import pytest

from tests.feeds.repositories import Deb
from tests.plan.test_sweep import as_apt
from tests.plan.test_worlds import World, needs

VIRTUAL = {"Provides": "virtual"}
OLD = Deb("old", "1", fields=VIRTUAL)
OTHER = Deb("other", fields=VIRTUAL)
USER = Deb("user", fields=needs("virtual"))
NAMING = Deb("user", fields=needs("old (<< 2) | other"))
LIKING = Deb("user", fields={"Recommends": "old (<< 2) | other"})
MORE = Deb("more")


def test_an_upgrade_is_kept_back_that_takes_from_an_unchanged_package(world: World) -> None:
    after = Deb("old", "2")
    assert as_apt(world, [USER, OLD], [after, OTHER], "upgrade", False) == []
    assert as_apt(world, [USER, OLD], [after, OTHER]) == ["old 2", "+other 1.0"]
    tied = Deb("tied", "2", fields=needs("old (>= 2)"))
    installed = [USER, OLD, Deb("tied", fields=needs("old"))]
    assert as_apt(world, installed, [after, tied, OTHER], "upgrade", False) == []


def test_what_comes_anyway_is_good_for_all(world: World) -> None:
    tool = Deb("tool", "2", fields=needs("other"))
    args = [USER, OLD, Deb("tool")], [Deb("old", "2"), tool, OTHER]
    assert as_apt(world, *args, "upgrade", False) == ["old 2", "+other 1.0", "tool 2"]


def test_of_several_that_take_something_one_is_kept_back(world: World) -> None:
    installed = [USER, OLD, Deb("also", "1", fields=VIRTUAL)]
    main = [Deb("old", "2"), Deb("also", "2"), OTHER]
    assert as_apt(world, installed, main, "upgrade", False) == ["also 2"]


@pytest.mark.parametrize("field", ["Depends", "Recommends"])
def test_an_upgrade_that_misses_something_looks_at_those_that_name_it(
    world: World, field: str
) -> None:
    after, missing = Deb("old", "2"), Deb("old", "2", fields={field: "more"})
    main = [missing, MORE, OTHER]
    steps = ["+more 1.0", "old 2", "+other 1.0"]
    assert as_apt(world, [NAMING, OLD], [after, *main[1:]], "upgrade", False) == []
    assert as_apt(world, [NAMING, OLD], main, "upgrade", False) == steps
    assert as_apt(world, [USER, OLD], main, "upgrade", False) == []
    assert as_apt(world, [LIKING, OLD], [after, *main[1:]], "upgrade", False) == ["old 2"]
    assert as_apt(world, [LIKING, OLD], main, "upgrade", False) == steps
    assert as_apt(world, [LIKING, OLD], main, holds=("user",)) == []


@pytest.mark.parametrize("mode", ["upgrade", "full"])
@pytest.mark.parametrize("user", [USER, NAMING])
def test_nothing_comes_for_what_is_on_hold(world: World, mode: str, user: Deb) -> None:
    main = [Deb("old", "2", fields=needs("more")), MORE, OTHER, Deb("user", "2")]
    assert as_apt(world, [user, OLD], main, mode, False, holds=("user",)) == []  # type: ignore[arg-type]
