"""TOML of strangers: what would keep the reader busy for hours is an error at once."""

from __future__ import annotations

import pytest

from regild.errors import GroupRefused, Malformed, RecipeRefused
from regild.model.recipe_file import check_recipe, read_recipe
from regild.model.toml_lines import PARTS_LIMIT, read_toml
from regild.rotate.group_file import read_group

LONG = 200_000
BOMBS = {
    "bare": "a" + ".a" * LONG + " = 1",
    "spaces": "a" + " . a" * LONG + " = 1",
    "quoted": '"a"' + '."a"' * LONG + " = 1",
    "literal": "'a'" + ".'a'" * LONG + " = 1",
    "table": "x = 1\n[a" + ".a" * LONG + "]",
    "nested": "x = " + "[" * LONG,
    "digits": "x = " + "9" * 10_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_every_reader(name: str) -> None:
    bomb = BOMBS[name]
    with pytest.raises(Malformed):
        read_toml(bomb, "bomb")
    with pytest.raises(RecipeRefused):
        read_recipe(bomb.encode(), "bomb", "image", "/")
    with pytest.raises(GroupRefused):
        read_group(bomb, "bomb", lambda name: "")


def test_the_line_of_a_bomb_is_told() -> None:
    (fault,) = check_recipe(BOMBS["table"].encode())
    assert fault.line == 2
    assert "parts" in fault.why


@pytest.mark.parametrize("part", ["a" * LONG, '"' + '\\"' * LONG])
def test_a_line_of_one_long_part_and_many_dots_is_soon_refused(part: str) -> None:
    with pytest.raises(Malformed):
        read_toml(f"{part} {'.' * PARTS_LIMIT}", "line")


def test_what_people_write_is_read() -> None:
    deep = ".".join("a" * PARTS_LIMIT)
    text = f"{deep} = 'a.b.c'\ncommands = ['echo {'1.' * 60}']\nversion = \"1.2.3\"\n"
    assert read_toml(text, "good")["version"] == "1.2.3"


def test_a_recipe_of_nothing_but_mistakes_is_soon_answered() -> None:
    release = "[[available.releases]]\nversion = ''\n"
    rest = "[recipe]\nname = 'a'\n[detect]\nfile = '/a'\n[update]\ncommands = ['a']\n"
    faults = check_recipe((rest + release * 25_000).encode())
    assert 0 < len(faults) <= 100
    assert any("are over" in one.why for one in faults)
    assert 0 < len(check_recipe("".join(f"[x{n}]\n" for n in range(50_000)).encode())) <= 101
