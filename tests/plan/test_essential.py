"""What is Essential on offer and missing comes with a full upgrade, held against apt itself."""

from __future__ import annotations

import pytest

from regild.errors import TooLarge
from regild.plan.wishes import Wishes
from tests.feeds.repositories import Deb
from tests.plan.test_near import index_of
from tests.plan.test_sweep import as_apt
from tests.plan.test_worlds import World, needs, told

ESSENTIAL = {"Essential": "yes"}


@pytest.mark.parametrize("sweeping", [False, True])
def test_what_is_essential_and_missing_comes_with_all_that_it_asks_for(
    world: World, sweeping: bool
) -> None:
    asked = {**ESSENTIAL, "Depends": "lib, one | two", "Recommends": "more"}
    main = [
        Deb("a", "2"),
        Deb("core", "1", fields=asked),
        Deb("core", "2", fields=asked),
        *map(Deb, ("lib", "one", "two", "more", "apt")),
        Deb("guarded", fields={"Protected": "yes"}),
        Deb("marked", fields={"Important": "yes"}),
        Deb("empty", fields={"Essential": "no"}),
        Deb("broken", fields={**ESSENTIAL, "Depends": "nowhere"}),
    ]
    assert as_apt(world, [Deb("a")], main, "full", sweeping) == [
        "a 2", "+apt 1.0", "+core 2", "+lib 1.0", "+more 1.0", "+one 1.0",
    ]  # fmt: skip
    assert as_apt(world, [Deb("a")], main, "upgrade", sweeping) == ["a 2"]
    assert told(world.plan([Deb("a")], main, wishes=Wishes("full", only=("a",)))) == ["a 2"]


def test_what_is_essential_and_cannot_be_had_beside_the_rest_is_left(world: World) -> None:
    installed = [Deb("held"), Deb("a")]
    main = [
        Deb("a", "2"),
        Deb("core", fields={**ESSENTIAL, "Conflicts": "held"}),
        Deb("other", fields={**ESSENTIAL, "Breaks": "a (<< 3)"}),
    ]
    assert as_apt(world, installed, main, holds=("held",)) == ["-a", "+other 1.0"]


def test_what_is_essential_is_not_removed_where_it_is_new(world: World) -> None:
    installed = [Deb("old", fields=needs("tools")), Deb("tools")]
    main = [Deb("core", fields={**ESSENTIAL, "Conflicts": "old"}), *installed]
    assert as_apt(world, installed, main, auto=("tools",)) == ["+core 1.0", "-old", "-tools"]


def test_an_index_that_calls_everything_essential_is_refused(world: World) -> None:
    text = "".join(f"Package: p{number}\nVersion: 1\nEssential: yes\n\n" for number in range(1001))
    with pytest.raises(TooLarge, match="essential"):
        _ = index_of(world.folder, text).essential
    assert index_of(world.folder, text[:300]).essential >= {"p0", "p1"}


def test_a_package_is_essential_where_any_version_is(world: World) -> None:
    """On offer, though not in the version that would come, or as it is installed."""
    installed = [Deb("was", fields=ESSENTIAL), Deb("a"), Deb("other")]
    main = [
        Deb("core", "1", fields=ESSENTIAL),
        Deb("core", "2"),
        Deb("was", "2"),
        Deb("a", "2", fields={"Conflicts": "was"}),
        Deb("other", "2"),
    ]
    assert as_apt(world, installed, main, auto=("was", "other")) == ["+core 2", "-other", "was 2"]


def test_nothing_that_a_package_brings_excludes_the_package(world: World) -> None:
    installed = [Deb("a"), Deb("b")]
    main = [
        Deb("a", "2", fields=needs("way")),
        Deb("way", fields=needs("against")),
        Deb("against", fields={"Conflicts": "a"}),
        Deb("b", "2", fields=needs("side | against")),
        Deb("side", fields={"Breaks": "b"}),
    ]
    assert as_apt(world, installed, main) == ["-a", "+against 1.0", "b 2"]
    assert as_apt(world, installed[:1], main) == []
