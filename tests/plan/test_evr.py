"""libsolv orders rewritten Debian versions as dpkg orders the versions themselves."""

from __future__ import annotations

import random

import solv

from regild.model.versions import debian_key
from regild.plan.debian.evr import evr_of, version_of

SIGNS = "0123456789ab.+~-Zz"


def random_version(dice: random.Random) -> str:
    epoch = dice.choice(("", "", "", "0:", "1:", "01:"))
    rest = "".join(dice.choice(SIGNS) for _ in range(dice.randint(0, 7)))
    return f"{epoch}{dice.choice('0123456789')}{rest}"


def test_ten_thousand_random_pairs_are_in_dpkgs_order() -> None:
    pool = solv.Pool()
    pool.setarch("x86_64")
    repo = pool.add_repo("x")
    first, second = repo.add_solvable(), repo.add_solvable()
    dice = random.Random(1)
    for _ in range(10_000):
        one = random_version(dice)
        ending = dice.choice(("", "0", "~", "+", "a", "-0", "-1", "."))
        begin = one[: dice.randint(1, len(one))]
        near = begin + ending if begin[-1] != ":" else one
        two = random_version(dice) if dice.random() < 0.5 else near
        first.evr, second.evr = evr_of(one), evr_of(two)
        keys = debian_key(one), debian_key(two)
        expected = (keys[0] > keys[1]) - (keys[0] < keys[1])
        found = first.evrcmp(second)
        assert (found > 0) - (found < 0) == expected, (one, two)


def test_a_rewritten_version_reads_as_it_was() -> None:
    for version in ("1.2-3", "1:2.36-9+deb12u7", "2.0~rc1-1", "5.1.9"):
        assert version_of(evr_of(version)) == version


def test_a_version_with_any_character_is_rewritten() -> None:
    for sign in ("\xe9", "\u4e01", "\U0010ffff", "\udcff"):
        assert evr_of(f"1{sign}2").isascii()
        assert evr_of(f"1{sign}2") != evr_of("12")
