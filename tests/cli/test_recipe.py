"""Recipes on the command line: looked at, found in images, planned with, and held against plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.cli.test_plan import image, offline
from tests.model.test_recipe_file import GOOD

Regild = Callable[..., Said]

RECIPE = GOOD.replace("pattern = 'agent ([0-9.]+)'\n", "")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of mine, and no regild.toml but the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def golden_image(tmp_path: Path) -> Path:
    return image(tmp_path / "image", **{"/opt/acme/VERSION": "1.9\n"})


def put(path: Path, text: str = RECIPE) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_recipes_are_looked_at_before_they_are_used(regild: Regild, tmp_path: Path) -> None:
    good = put(tmp_path / "acme.recipe.toml")
    bad = put(
        tmp_path / "bad.recipe.toml", GOOD.replace("agent (", "agent ((").replace("2.0", "2 0")
    )
    said = regild("recipe", "check", good, bad, "--json")
    assert said.code == 12, said.err
    first, second = valid("recipe", said.json)["files"]
    assert (first["name"], first["faults"]) == ("acme", [])
    assert first["digest"].startswith("sha256:")
    assert [one["line"] for one in second["faults"]] == [5, 9]
    shown = regild("recipe", "check", bad).out
    assert "line 5: [detect] pattern is no expression of RE2" in shown
    assert regild("recipe", "check", good).code == 0


def test_a_recipe_that_cannot_be_used_is_refused(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    bad = put(tmp_path / "bad.recipe.toml", "[recipe]\nname = 3\n")
    source = offline(tmp_path)
    told = refused(regild, 4, "RecipeRefused", "plan", golden_image, *source, "--recipe", bad)
    assert "line 2" in told


def test_describe_finds_what_recipes_find(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    text = RECIPE.replace('name = "acme"', 'name = "acme-agent"')
    put(tmp_path / "recipes/acme.recipe.toml", text)
    (tmp_path / "regild.toml").write_text('[recipes]\nfolder = "recipes"\n')
    (found,) = valid("describe", regild("describe", golden_image, "--json").json)["applications"]
    assert (found["name"], found["version"], found["recipe"]) == ("acme-agent", "1.9", "acme-agent")
    (tmp_path / "regild.toml").unlink()
    (plain,) = regild("describe", golden_image, "--json").json["applications"]
    assert (plain["name"], plain["recipe"]) == ("acme", "")


def test_a_plan_holds_the_step_its_digest_and_what_will_run(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    source = offline(tmp_path)
    plain = regild("plan", golden_image, *source, "--json").json
    assert (plain["errands"], plain["applications"]) == ([], None)
    said = regild("plan", golden_image, *source, "--recipe", put(tmp_path / "a.toml"), "--json")
    assert said.code == 10, said.err
    answer = valid("plan", said.json)
    tool, acme = answer["steps"]
    assert (tool["name"], acme["name"], acme["from"], acme["to"]) == ("tool", "acme", "1.9", "2.0")
    assert acme["archive"]["digest"].startswith("sha256:")
    assert answer["errands"][0]["changes"] == ["/opt/acme"]
    assert [one["version"] for one in answer["applications"]] == ["2.0"]
    assert answer["id"] != plain["id"]
    shown = regild("plan", golden_image, *source, "--recipe", tmp_path / "a.toml").out
    assert "Recipe acme" in shown
    assert 'tar -xzf "$REGILD_FILES/acme.tgz" -C /opt/acme' in shown


def test_a_recipe_beside_the_image_waits_for_the_sites_word(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    put(golden_image.with_name(f"{golden_image.stem}.recipe.toml"))
    source = [*offline(tmp_path), "--hold", "tool"]
    said = regild("plan", golden_image, *source, "--json")
    assert said.code == 11, said.err
    left = next(one for one in said.json["skipped"] if one["name"] == "acme")
    digest = left["why"].rpartition(" ")[2]
    (tmp_path / "regild.toml").write_text(f'[recipes]\nallow = ["{digest}"]\n')
    said = regild("plan", golden_image, *source, "--json")
    assert said.code == 10, said.err
    assert said.json["errands"][0]["origin"] == "image"


def test_the_plan_from_a_descriptor_is_that_of_the_disk(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    recipe = put(tmp_path / "a.toml")
    envelope = golden_image.with_suffix(".ovf")
    assert regild("describe", golden_image, "-o", envelope, "--recipe", recipe).code == 0
    wishes = [*offline(tmp_path), "--recipe", recipe, "--json"]
    claimed = regild("plan", envelope, "--basis", "descriptor", *wishes)
    assert claimed.json["id"] == regild("plan", golden_image, *wishes).json["id"]
    # Who verifies it need not have the recipe.
    assert regild("verify", envelope).code == 0


def test_a_given_plan_is_refused_when_a_recipe_brings_something_else(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    recipe, plan = put(tmp_path / "a.toml"), tmp_path / "plan.json"
    source = offline(tmp_path)
    made = regild("plan", golden_image, *source, "--recipe", recipe, "--out", plan)
    assert made.code == 10, made.err
    line = ["update", golden_image, "-o", tmp_path / "new.raw", *source, "--plan", plan]
    told = refused(regild, 7, "PlanMoved", *line)
    assert "recipes" in told
    put(recipe, RECIPE.replace("--version", "--help"))
    refused(regild, 7, "PlanMoved", *line, "--recipe", recipe)


def test_run_needs_something_to_run(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.raw"
    refused(regild, 2, "UsageError", "run", golden_image, "-o", out)
    refused(regild, 2, "UsageError", "run", golden_image, "-o", out, "--changes", "/opt")
    for path in ("opt", "/opt/../etc", "/"):
        said = regild("run", golden_image, "-o", out, "--json", "--changes", path, "--", "true")
        assert said.code == 2
        assert valid("error", said.json)["error"]["kind"] == "UsageError"


def test_run_writes_nothing_where_a_recipe_finds_nothing_newer(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    recipe = put(tmp_path / "a.toml", RECIPE.replace('"2.0"', '"1.9"'))
    out = tmp_path / "new.raw"
    said = regild("run", golden_image, "-o", out, "--recipe", recipe, "--json")
    assert said.code == 0, said.err
    assert valid("run", said.json)["output"] is None
    assert not out.exists()
