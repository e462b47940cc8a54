"""What counts as wished for after a change, held against what apt itself writes in small worlds."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from regild.model.content import TextFile
from regild.model.plan import Mark, Mode
from regild.plan.wishes import Wishes
from tests.feeds.repositories import Deb
from tests.plan.marks_asked import written_marks
from tests.plan.test_rounds import denser
from tests.plan.test_sweep import as_apt
from tests.plan.test_worlds import World, needs, random_world, told

SECTIONS = TextFile(
    "/etc/apt/apt.conf",
    'APT::Never-MarkAuto-Sections:: "metapackages";\nAPT::Never-MarkAuto-Sections:: "tasks";\n'
    'APT::Move-Autobit-Sections:: "oldlibs";\n',
)


def marked_as_apt(
    world: World,
    installed: Sequence[Deb],
    main: Sequence[Deb],
    mode: Mode = "full",
    sweeping: bool = False,
    **image: object,
) -> tuple[list[str], set[str]]:
    """A plan's steps in short and what is automatic after it, which are apt's own."""
    image = {"settings": (SECTIONS,), **image}
    steps = as_apt(world, installed, main, mode, sweeping, **image)
    plan = world.plan(installed, main, wishes=Wishes(mode, autoremove=sweeping), **image)  # type: ignore[arg-type]
    verb = ["dist-upgrade"] if mode == "full" else ["upgrade", "--with-new-pkgs"]
    verb += ["--auto-remove"] if sweeping else []
    found = {f"{one.name}:{one.arch}" for one in plan.expected if one.auto}
    if steps:
        assert found == written_marks(world.folder / "oracle", verb)
    return steps, {one.partition(":")[0] for one in found}


def of(section: str, *asked: str, **fields: str) -> dict[str, str]:
    """The fields of a package of a section."""
    return {"Section": section, **needs(*asked), **fields}


GOING = Deb("winner", "2", fields={"Conflicts": "meta"})
WINNER = Deb("winner", fields={"Priority": "required"})


@pytest.mark.parametrize("section", ["metapackages", "contrib/metapackages", "tasks", "libs"])
@pytest.mark.parametrize("sweeping", [False, True])
def test_what_a_removed_metapackage_asks_for_is_wished_for(
    world: World, section: str, sweeping: bool
) -> None:
    fields = of(section, "one", "two | three", Recommends="more", Suggests="most")
    installed = [
        Deb("meta", fields=fields), WINNER,
        *map(Deb, ("one", "three", "more", "most")), Deb("part"), Deb("two", fields=needs("part")),
    ]  # fmt: skip
    others = ("one", "two", "three", "more", "most", "part")
    steps, auto = marked_as_apt(world, installed, [GOING], "full", sweeping, auto=others)
    gone = set(others) if section == "libs" else {"most"}
    assert {one.removeprefix("-") for one in steps if one.startswith("-")} == (
        {"meta"} | (gone if sweeping else set())
    )
    assert auto == (set() if sweeping else gone) | ({"part"} if section != "libs" else set())


def test_a_metapackages_section_is_what_its_repository_says(world: World) -> None:
    for there, offered in (("libs", "metapackages"), ("metapackages", "libs")):
        installed = [Deb("meta", fields=of(there, "one")), WINNER, Deb("one")]
        main = [Deb("meta", fields=of(offered, "one")), GOING]
        _, auto = marked_as_apt(world, installed, main, auto=("one",))
        assert auto == (set() if offered == "metapackages" else {"one"})


def test_a_swept_metapackage_keeps_what_is_not_swept_before_it(world: World) -> None:
    fields = of("metapackages", "aaa", "zed")
    installed = [
        Deb("meta", fields=fields), Deb("aaa"), Deb("zed", fields=needs("zzz")), Deb("zzz"),
        Deb("winner"),
    ]  # fmt: skip
    marked = ("meta", "aaa", "zed", "zzz")
    args = (world, installed, [Deb("winner", "2")], "full", True)
    assert marked_as_apt(*args, auto=marked) == (["-aaa", "-meta", "winner 2"], {"zzz"})


def test_a_metapackage_that_goes_for_a_while_only_counts(world: World) -> None:
    """In an upgrade it comes back in the end."""
    installed = [Deb("meta", fields=of("metapackages", "one")), Deb("one"), Deb("winner"), Deb("x")]
    main = [GOING, Deb("x", "2")]
    for mode in ("upgrade", "full"):
        marked_as_apt(world, installed, main, mode, auto=("one",))  # type: ignore[arg-type]


def test_what_moves_to_oldlibs_hands_on_that_it_is_wished_for(world: World) -> None:
    installed = [Deb("old", fields=of("libs")), Deb("dep"), Deb("auto", fields=of("libs"))]
    main = [
        Deb("old", "2", fields=of("oldlibs", "dep", "new", "one | two", Recommends="more")),
        Deb("auto", "2", fields=of("oldlibs", "three")),
        Deb("new", fields=needs("deep")),
        *map(Deb, ("one", "two", "three", "more", "deep")),
    ]
    for mode in ("upgrade", "full"):
        for sweeping in (False, True):
            _, auto = marked_as_apt(
                world,
                installed,
                main,
                mode,
                sweeping,
                auto=("dep", "auto"),  # type: ignore[arg-type]
            )
            assert "new" not in auto and "one" not in auto and "more" not in auto


def test_what_moves_to_oldlibs_and_brings_nothing_stays_as_it_is(world: World) -> None:
    installed = [Deb("old", fields=of("libs")), Deb("dep"), Deb("bringing")]
    main = [
        Deb("old", "2", fields=of("oldlibs", "dep")),
        Deb("dep", "2"),
        Deb("bringing", "2", fields=needs("new")),
        Deb("new"),
    ]
    for mode in ("upgrade", "full"):
        steps, auto = marked_as_apt(world, installed, main, mode, auto=("dep",))  # type: ignore[arg-type]
        assert steps == ["bringing 2", "dep 2", "+new 1.0", "old 2"] and auto == {"dep", "new"}


def test_new_packages_are_automatic_and_upgraded_ones_as_before(world: World) -> None:
    installed = [Deb("a"), Deb("b"), Deb("c")]
    main = [Deb("a", "2", fields=needs("new")), Deb("b", "2"), Deb("new"), Deb("c", "2")]
    for mode in ("upgrade", "full"):
        _, auto = marked_as_apt(world, installed, main, mode, auto=("b",))  # type: ignore[arg-type]
        assert auto == {"b", "new"}


def sectioned(dice: random.Random, debs: Sequence[Deb]) -> list[Deb]:
    """Packages in sections that settings speak of, and in others."""
    names = ("metapackages", "libs", "oldlibs", "contrib/oldlibs", "libs", "")
    found = []
    for one in debs:
        section = dice.choice(names)
        own = {"Section": section} if section else {}
        found.append(Deb(one.name, one.version, fields={**one.fields, **own}))
    return found


def chance_world(seed: int) -> tuple[list[Deb], list[Deb], dict[str, object], bool]:
    """What is installed and on offer, an image, and whether it is to be swept."""
    installed, main, safe, image = random_world(seed)
    dice = random.Random(seed * 37 + 11)
    image["auto"] = tuple(one.name for one in installed if dice.random() < 0.5)
    if dice.random() < 0.5:
        installed, main, safe = (
            denser(dice, debs, is_new)
            for debs, is_new in ((installed, False), (main, True), (safe, True))
        )
    installed, offers = sectioned(dice, installed), sectioned(dice, [*main, *safe])
    return installed, offers, image, dice.random() < 0.5


@pytest.mark.parametrize("mode", ["upgrade", "full"])
@pytest.mark.parametrize("seed", [0, 1, 2, 418, 475])
def test_worlds_of_chance_are_marked_as_apt_marks_them(world: World, seed: int, mode: Mode) -> None:
    installed, offers, image, sweeping = chance_world(seed)
    marked_as_apt(world, installed, offers, mode, sweeping, **image)


def test_a_security_update_may_hand_on_too(world: World) -> None:
    installed = [Deb("old", fields=of("libs")), Deb("other")]
    safe = [Deb("old", "2", fields=of("oldlibs", "new")), Deb("new")]
    plan = world.plan(installed, [Deb("other", "2")], safe, "security", settings=(SECTIONS,))
    assert told(plan) == ["+new 1.0", "old 2"]
    assert plan.marks == (Mark("new", "amd64", False), Mark("old", "amd64", True))
    again = world.plan(installed, [Deb("other", "2")], safe, "security")
    assert again.marks == () and again.id != plan.id
