"""The order of rpm against rpm itself, that of apk against its rules and univers."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univers.versions import AlpineLinuxVersion

from regild.model.versions import apk_key, is_newer, rpm_key

ALPHABET = "0123456789" * 2 + "abzAZ" + "~" * 4 + "^" * 4 + "." * 4 + "+_"


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs that differ in few places, so that every rule decides some of them."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        one = [chance.choice("0129"), *chance.choices(ALPHABET, k=chance.randint(0, 6))]
        two = list(one)
        for _ in range(chance.randint(0, 2)):
            two[chance.randrange(len(two)) :] = chance.choices(ALPHABET, k=chance.randint(1, 3))
        parts = ["".join(one) + "-1", "".join(two) + "-1"]
        if chance.random() < 0.1:
            parts[chance.randrange(2)] = f"{chance.randint(0, 2)}:" + parts[0]
        pairs.append((parts[0], parts[1]))
    return pairs


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm is not installed here")
def test_ten_thousand_random_pairs_are_in_the_order_of_rpm() -> None:
    pairs = random_pairs(10_000, 5)
    theirs: list[str] = []
    for begin in range(0, len(pairs), 250):
        calls = ",".join(f'rpm.vercmp("{a}","{b}")' for a, b in pairs[begin : begin + 100])
        calls += "," + ",".join(f'rpm.vercmp("{a}","{b}")' for a, b in pairs[begin + 100 :][:150])
        lua = f'%{{lua: print(table.concat({{{calls}}}, " "))}}'
        said = subprocess.run(["rpm", "--eval", lua], capture_output=True, text=True, check=True)
        theirs += said.stdout.split()
    ours = [(rpm_key(a) > rpm_key(b)) - (rpm_key(a) < rpm_key(b)) for a, b in pairs]
    wrong = [
        (pair, mine, other)
        for pair, mine, other in zip(pairs, ours, map(int, theirs), strict=True)
        if mine != other
    ]
    assert wrong == []
    assert {-1, 0, 1} == set(ours)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1.0^git1-1"),
        ("1.0^git1-1", "1.0.1-1"),
        ("1.0a-1", "1.0.1-1"),
        ("5.2-9.el8", "5.2-10.el8"),
        ("9-1", "1:0-1"),
        ("1.0~rc1^git1-1", "1.0-1"),
    ],
)
def test_the_rules_of_rpm(lower: str, higher: str) -> None:
    assert is_newer("rpm", higher, lower)
    assert not is_newer("rpm", lower, higher)


def test_separators_and_leading_zeros_count_for_nothing_in_rpm() -> None:
    assert rpm_key("1.05-1") == rpm_key("0:1_5-01")


APK_ORDER = (
    *("0.9", "1_alpha", "1_alpha1", "1_beta", "1_pre1", "1_rc1", "1_rc2", "1", "1-r1", "1-r10"),
    *("1_git2020", "1_p", "1_p1", "1_p2", "1a", "1b", "1.0", "1.0-r1", "1.05", "1.1", "1.9"),
    *("1.10", "1.10.0", "1.10.1_rc1", "1.10.1", "2", "10"),
)


def test_the_rules_of_apk() -> None:
    mixed = random.Random(7).sample(APK_ORDER, len(APK_ORDER))
    assert sorted(mixed, key=apk_key) == list(APK_ORDER)
    assert len({apk_key(one) for one in APK_ORDER}) == len(APK_ORDER)


def test_versions_as_alpine_writes_them_are_in_the_order_of_univers() -> None:
    chance = random.Random(6)

    def version() -> str:
        text = ".".join(str(chance.randint(1, 12)) for _ in range(chance.randint(2, 3)))
        text += chance.choice(("", "", "a", "b"))
        text += chance.choice(("", "", "_rc1", "_p2", "_alpha3", "_p20240101"))
        return f"{text}-r{chance.randint(0, 3)}"

    wrong = []
    for _ in range(2000):
        one, two = version(), version()
        theirs = AlpineLinuxVersion(one) < AlpineLinuxVersion(two)
        if (apk_key(one) < apk_key(two)) != theirs:
            wrong.append((one, two))
    assert wrong == []


@given(st.text(alphabet="019.~^ab_-r:p", max_size=12), st.text(alphabet="01.~^ab_-rp", max_size=9))
def test_any_text_has_a_place_in_each_order(one: str, two: str) -> None:
    for key in (rpm_key, apk_key):
        assert (key(one) < key(two)) + (key(one) > key(two)) + (key(one) == key(two)) == 1
