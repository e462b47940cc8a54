"""Applications that recipes find: only read, within bounds, and unknown where they say nothing."""

from __future__ import annotations

import pytest

from regild.describe.reader import describe_guest
from regild.model.content import Application, Content
from regild.model.digest import sha256_of
from regild.model.recipe import Detect, Recipe
from tests.describe.guests import debian


def described(files: dict[str, bytes | str], detect: Detect) -> Content:
    recipe = Recipe("acme", sha256_of(b""), "site", "/srv/recipes", detect)
    return describe_guest(debian(files), recipes=(recipe,))


@pytest.mark.parametrize(
    ("path", "text", "detect", "version"),
    [
        ("/opt/acme/VERSION", "2.1.0\n", Detect("/opt/acme/VERSION"), "2.1.0"),
        (
            "/etc/acme.conf",
            "# v9\nversion = 2.1.0-beta\n",
            Detect("/etc/acme.conf", pattern=r"version = ([0-9.a-z-]+)"),
            "2.1.0-beta",
        ),
        (
            "/opt/acme/build.json",
            '{"build": {"version": "2.1", "n": 7}}',
            Detect("/opt/acme/build.json", json=("build", "version")),
            "2.1",
        ),
        ("/opt/acme/a.json", '{"v": ["x", 3]}', Detect("/opt/acme/a.json", json=("v", "1")), "3"),
        (
            "/opt/web/lib/python3.11/site-packages/acme-2.1.dist-info/METADATA",
            "",
            Detect(
                "/opt/web/lib/python3*/site-packages/acme-*.dist-info",
                name=r"acme-(.+)\.dist-info",
            ),
            "2.1",
        ),
    ],
)
def test_a_version_stands_in_a_file_or_in_a_name(
    path: str, text: str, detect: Detect, version: str
) -> None:
    content = described({path: text}, detect)
    found = [one for one in content.applications if one.recipe]
    assert [(one.name, one.version, one.recipe) for one in found] == [("acme", version, "acme")]
    assert content.unknowns == ()


def test_what_a_recipe_finds_stands_for_its_folder_of_opt() -> None:
    files: dict[str, bytes | str] = {
        "/opt/acme/etc/release": "2.1",
        "/opt/acme/VERSION": "9",
        "/opt/other/VERSION": "1.0",
    }
    content = described(files, Detect("/opt/acme/etc/release"))
    assert content.applications == (
        Application("acme", "2.1", "/opt/acme/etc/release", "acme"),
        Application("other", "1.0", "/opt/other/VERSION"),
    )


def test_several_places_are_several_applications() -> None:
    files: dict[str, bytes | str] = {f"/opt/acme-{n}/VERSION": f"{n}.0" for n in (1, 2)}
    content = described(files, Detect("/opt/acme-*/VERSION"))
    assert [one.version for one in content.applications] == ["1.0", "2.0"]


def test_what_is_not_there_is_no_application_and_not_unknown() -> None:
    content = described({}, Detect("/opt/acme/*/VERSION"))
    assert (content.applications, content.unknowns) == ((), ())


@pytest.mark.parametrize(
    ("text", "detect", "why"),
    [
        ("the newest", Detect("/opt/acme/V", pattern="([0-9]+)"), "states no version"),
        ("../../etc", Detect("/opt/acme/V"), "is no version"),
        ("[1", Detect("/opt/acme/V", json=("a",)), "not JSON"),
        ("[1]", Detect("/opt/acme/V", json=("a",)), "it has no a"),
        ('{"a": {}}', Detect("/opt/acme/V", json=("a",)), "states no version"),
        ("1" * (2 << 20), Detect("/opt/acme/V"), "more than"),
    ],
)
def test_what_states_no_version_is_unknown(text: str, detect: Detect, why: str) -> None:
    content = described({"/opt/acme/V": text}, detect)
    assert [one for one in content.applications if one.recipe] == []
    assert why in content.unknowns[0].why
    assert content.unknowns[0].where.startswith("/opt/acme/V (")


def test_too_many_places_are_unknown() -> None:
    files: dict[str, bytes | str] = {f"/srv/{n}/VERSION": "1" for n in range(101)}
    content = described(files, Detect("/srv/*/VERSION"))
    assert content.applications == ()
    assert "more than 100 paths" in content.unknowns[0].why


def test_no_text_makes_an_expression_slow() -> None:
    text = "a" * 500_000
    content = described({"/opt/acme/V": text}, Detect("/opt/acme/V", pattern=r"(a+)+b"))
    assert "states no version" in content.unknowns[0].why


def test_recipes_change_neither_state_nor_witnesses() -> None:
    files: dict[str, bytes | str] = {"/opt/acme/VERSION": "1.0", "/srv/acme": "1.0"}
    plain = describe_guest(debian(files))
    content = described(files, Detect("/srv/acme"))
    assert len(content.applications) == 2
    assert (content.state, content.witnesses) == (plain.state, plain.witnesses)
