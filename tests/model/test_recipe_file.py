"""A recipe's file: what it says, and every way in which it must not say it, with the line."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from regild.errors import RecipeRefused
from regild.model.recipe import Recipe
from regild.model.recipe_file import check_recipe, read_recipe

DIGITS = hashlib.sha256(b"acme").hexdigest()
GOOD = f"""\
[recipe]
name = "acme"
[detect]
file = "/opt/acme/VERSION"
pattern = 'agent ([0-9.]+)'
[available]
order = "deb"
[[available.releases]]
version = "2.0"
security = true
files = [{{ name = "acme.tgz", uri = "acme-2.0.tgz", sha256 = "{DIGITS}", bytes = 4 }}]
[update]
changes = ["/opt/acme/"]
commands = ['tar -xzf "$REGILD_FILES/acme.tgz" -C /opt/acme', ["chown", "-R", "1:1", "/opt/acme"]]
[test]
commands = ["/opt/acme/bin/agent --version"]
"""
PIP = '[recipe]\nname = "web"\n[pip]\nenvironment = "/opt/web"\nindex = "wheels"\n'
SCHEMAS = Path(__file__).parents[2] / "docs/spec/schemas"


def read(text: str = GOOD) -> Recipe:
    return read_recipe(text.encode(), "acme.recipe.toml", "site", "/srv/recipes")


def test_a_recipe_says_how_an_application_is_kept_up_to_date() -> None:
    recipe = read()
    assert recipe.detect is not None
    assert (recipe.name, recipe.detect.file, recipe.origin) == ("acme", "/opt/acme/VERSION", "site")
    assert recipe.commands[0][:2] == ("sh", "-ec")
    assert recipe.commands[1] == ("chown", "-R", "1:1", "/opt/acme")
    assert recipe.changes == ("/opt/acme",)
    assert recipe.releases[0].files[0].digest == f"sha256:{DIGITS}"
    assert recipe.digest == "sha256:" + hashlib.sha256(GOOD.encode()).hexdigest()


def test_what_it_names_beside_itself_is_part_of_its_digest() -> None:
    text = '[recipe]\nname = "web"\n[npm]\nfolder = "/opt/web"\nlock = "package-lock.json"\n'
    found = [
        read_recipe(text.encode(), "web", "site", "/x", {"package-lock.json": lock}).digest
        for lock in ("{}", "{ }")
    ]
    assert found[0] != found[1]
    with pytest.raises(RecipeRefused, match=r"package-lock\.json"):
        read_recipe(text.encode(), "web", "site", "/x")


def test_the_published_schema_takes_a_good_recipe() -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads((SCHEMAS / "recipe-file.schema.json").read_text())
    validator = Draft202012Validator(schema)
    validator.validate(tomllib.loads(GOOD))
    validator.validate(tomllib.loads(PIP))
    assert not validator.is_valid(tomllib.loads(GOOD.replace("changes", "touches")))


@pytest.mark.parametrize(
    ("was", "becomes", "line", "why"),
    [
        ('name = "acme"\n', 'name = "Acme Agent"\n', 2, "small letters"),
        ("[recipe]", "[recipes]", 1, "is no table"),
        ("[detect]", "[detect", 3, "no TOML"),
        ('file = "/opt', 'file = "opt', 4, "guest's root"),
        ("/opt/acme/VERSION", "/opt/../etc/VERSION", 4, "guest's root"),
        ("/opt/acme/VERSION", "/*/*/*/*", 4, "more than 3 stars"),
        ("agent ([0-9.]+)", "agent [0-9.]+", 5, "has 0"),
        ("agent ([0-9.]+)", "(?=a)(b)", 5, "no expression of RE2"),
        ("pattern = 'agent ([0-9.]+)'", 'pattern = "(a)"\njson = "a"', 3, "in one way"),
        ('order = "deb"', 'order = "semver"', 7, "invalid enum value"),
        ('version = "2.0"', 'version = "two point oh"', 9, "is no version"),
        ("uri = ", "url = ", 11, "unknown field"),
        ("acme-2.0.tgz", "../acme-2.0.tgz", 11, "no path beside the recipe"),
        ("acme-2.0.tgz", "ftp://mirror.example/acme", 11, "no address"),
        ('"acme.tgz"', '"a/b"', 11, "no plain name"),
        (DIGITS, DIGITS[:-1], 11, "64 hexadecimal digits"),
        ("bytes = 4", "bytes = 0", 11, "size of the file"),
        ('"/opt/acme/"', '"/usr/bin"', 13, "everybody's"),
        ('"/opt/acme/"', '"/opt/*"', 13, "no path from the guest's root"),
        ('["/opt/acme/"]', "[]", 13, "names the folders"),
        ('"/opt/acme/bin/agent --version"', "", 16, "from 1 to 50"),
        ('[test]\ncommands = ["/opt/acme/bin/agent --version"]\n', "", 12, "needs [test]"),
        ("[update]", "[pip]\nenvironment = '/opt/v'\nindex = 'w'\n[update]", 1, "no two"),
        ('file = "/opt/acme/VERSION"', 'file = "/opt/acme/VERSION"\nread = 3', 5, "unknown field"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(was: str, becomes: str, line: int, why: str) -> None:
    assert was in GOOD
    text = GOOD.replace(was, becomes)
    faults = check_recipe(text.encode())
    assert [one for one in faults if one.line == line and why in f"{one.setting} {one.why}"], faults
    with pytest.raises(RecipeRefused, match=r"line \d+"):
        read(text)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('packages = ["a b"]', "no name of a package"),
        ('constraints = ["urllib3 <<3"]', "no requirement"),
        ('constraints = ["a @ http://mirror.example/a.whl"]', "more than a range"),
        ("[available]\norder = 'deb'", "says nothing to [pip]"),
    ],
)
def test_an_environment_of_python_is_described_as_such(more: str, why: str) -> None:
    assert check_recipe(PIP.encode()) == ()
    assert any(why in one.why for one in check_recipe((PIP + more).encode()))


def test_of_several_releases_the_right_one_is_named() -> None:
    second = '[[available.releases]]\nversion = "3 0"\n'
    text = GOOD.replace("[update]", f"{second}[update]")
    assert [one.line for one in check_recipe(text.encode())] == [13]
    text = GOOD.replace("[update]", f"{second.replace('3 0', '3.0')}secure = 1\n[update]")
    assert [one.line for one in check_recipe(text.encode())] == [14]


def test_all_that_is_wrong_is_said_at_once() -> None:
    text = GOOD.replace('"acme"', '"ACME"').replace("/opt/acme/VERSION", "VERSION")
    assert [one.line for one in check_recipe(text.encode())] == [2, 4]


def test_an_index_needs_somebody_who_vouches_for_it() -> None:
    head, rest = GOOD.split("[[available.releases]]")
    text = head + 'index = "https://mirror.example/acme.json"\n[update]' + rest.split("[update]")[1]
    assert [one.why for one in check_recipe(text.encode())] == [
        "is vouched for by one of sha256 and key"
    ]
    vouched = text.replace("[update]", f'sha256 = "{DIGITS}"\n[update]')
    assert check_recipe(vouched.encode()) == ()
    both = vouched.replace("[update]", 'key = "acme.pub"\n[update]')
    assert len(check_recipe(both.encode())) == 1


def test_the_guides_examples_are_good_recipes() -> None:
    guide = (SCHEMAS.parents[1] / "guide/recipes.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", guide, re.S)
    recipes = [one for one in examples if "[recipe]\n" in one]
    assert len(recipes) == 3
    for one in recipes:
        assert check_recipe(one.encode()) == ()
