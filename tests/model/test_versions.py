"""Version order against dpkg itself and against univers."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univers.versions import DebianVersion as Univers

from regild.model.versions import debian_key, is_newer, split_debian

ALPHABET = "0123456789" * 2 + "abzAZ" + "~" * 4 + "+" * 2 + "." * 4
UPSTREAM = st.text(alphabet=ALPHABET, max_size=10).map(lambda text: "1" + text)


def random_versions(count: int, seed: int) -> list[str]:
    """Versions that are close to each other, so that every rule decides some of the pairs."""
    chance = random.Random(seed)
    found: set[str] = set()
    while len(found) < count:
        text = str(chance.randint(0, 2)) + "".join(chance.choices(ALPHABET, k=chance.randint(0, 5)))
        if chance.random() < 0.15:
            text = f"{chance.randint(0, 2)}:{text}"
        if chance.random() < 0.6:
            text += "-" + "".join(chance.choices(ALPHABET.replace("-", ""), k=3))
        found.add(text)
    return sorted(found)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed here")
def test_the_order_of_a_thousand_versions_is_that_of_dpkg() -> None:
    """Neighbours in our order, asked of dpkg one by one, settle all half a million pairs."""
    ordered = sorted(random_versions(1000, 1), key=debian_key)
    script = 'while read -r one two; do dpkg --compare-versions "$one" lt "$two" && echo "lt" || '
    script += '{ dpkg --compare-versions "$one" eq "$two" && echo "eq" || echo "gt"; }; done'
    pairs = "".join(f"{one} {two}\n" for one, two in itertools.pairwise(ordered))
    answers = subprocess.run(
        ["sh", "-c", script], input=pairs, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [
        "eq" if debian_key(one) == debian_key(two) else "lt"
        for one, two in itertools.pairwise(ordered)
    ]
    assert answers == ours
    assert "eq" in ours


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed here")
def test_ten_thousand_random_pairs_are_in_the_order_of_dpkg() -> None:
    """dpkg is asked of each pair whether it stands as it does here, and says which do not."""
    versions = random_versions(3000, 4)
    chance = random.Random(5)
    lines = []
    for _ in range(10_000):
        one = chance.choice(versions)
        near = one + chance.choice(("", "~", "+", "a", "0", ".0", "-0"))
        two = chance.choice((near, chance.choice(versions)))
        keys = debian_key(one), debian_key(two)
        sign = "lt" if keys[0] < keys[1] else "gt" if keys[0] > keys[1] else "eq"
        lines.append(f"{one} {sign} {two}")
    assert {"lt", "gt", "eq"} == {line.split()[1] for line in lines}
    wrong = ["1.0 lt 1.0~rc1", "1.0-0 gt 1.0"]
    script = 'while read -r one sign two; do dpkg --compare-versions "$one" "$sign" "$two" || '
    script += 'echo "$one $sign $two"; done'
    text = "\n".join([*lines, *wrong, ""])
    said = subprocess.run(["sh", "-c", script], input=text, capture_output=True, text=True)
    assert said.stdout.splitlines() == wrong


def test_ten_thousand_random_pairs_agree_with_univers() -> None:
    versions = random_versions(400, 2)
    theirs = {version: Univers(version) for version in versions}
    chance = random.Random(3)
    for _ in range(10_000):
        one, two = chance.choice(versions), chance.choice(versions)
        assert (debian_key(one) < debian_key(two)) == (theirs[one] < theirs[two]), (one, two)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0~~", "1.0~"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+"),
        ("1.9", "1.10"),
        ("9", "1:0"),
        ("3.0.14-1~deb12u2", "3.0.15-1~deb12u1"),
        ("1.0-1", "1.0-1+b1"),
        ("1." + "9" * 5000, "1.1" + "0" * 5000),
    ],
)
def test_the_rules_of_deb_version(lower: str, higher: str) -> None:
    assert is_newer("deb", higher, lower)
    assert not is_newer("deb", lower, higher)


@pytest.mark.parametrize(("one", "two"), [("1.0", "0:1.0-0"), ("1.", "1.0"), ("1.01", "1.1")])
def test_different_texts_can_be_the_same_version(one: str, two: str) -> None:
    assert debian_key(one) == debian_key(two)


def test_a_version_splits_into_epoch_upstream_and_revision() -> None:
    assert split_debian("1:2.36.1-8+deb11u1") == ("1", "2.36.1", "8+deb11u1")
    assert split_debian("2:1-2-3") == ("2", "1-2", "3")
    assert split_debian("12") == ("", "12", "")


@given(UPSTREAM, UPSTREAM, UPSTREAM)
def test_the_order_is_total_and_transitive(one: str, two: str, three: str) -> None:
    low, _, high = sorted((one, two, three), key=debian_key)
    assert debian_key(low) <= debian_key(high)
    assert (debian_key(one) < debian_key(two)) == (debian_key(two) > debian_key(one))
