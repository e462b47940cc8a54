"""Whose recipes count: the site's do, an image's only where the site has agreed to its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.agent.reading.recipes import gather, site_recipes
from regild.agent.site import RecipeSettings, Site, read_site, with_options
from regild.errors import MissingFile, RecipeRefused, UsageError
from regild.model.digest import Digest
from tests.model.test_recipe_file import GOOD


def put(folder: Path, name: str = "acme", text: str = GOOD) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"{name}.recipe.toml"
    path.write_text(text)
    return path


def told(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "regild.toml"
    path.write_text(text)
    return read_site(path)


def test_the_sites_folder_counts(tmp_path: Path) -> None:
    put(tmp_path / "recipes")
    site = told(tmp_path, '[recipes]\nfolder = "recipes"\n')
    found = gather(site, tmp_path / "golden.ova")
    assert [(one.name, one.origin) for one in found.used] == [("acme", "site")]
    assert found.left == ()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        site_recipes(told(tmp_path, '[recipes]\nfolder = "recipes"\n'))


def test_a_digest_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sha256"):
        told(tmp_path, '[recipes]\nallow = ["acme"]\n')


@pytest.mark.parametrize("name", ["golden", "golden.acme"])
def test_one_beside_the_image_is_only_a_proposal(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    found = gather(Site(), tmp_path / "golden.ova")
    assert found.used == ()
    (left,) = found.left
    assert "has not agreed to sha256:" in left.why
    digest = Digest(left.why.rpartition(" ")[2])
    agreed = Site(recipes=RecipeSettings(allow=(digest,)))
    (used,) = gather(agreed, tmp_path / "golden.ova").used
    assert (used.origin, used.digest) == ("image", digest)
    put(tmp_path, name, GOOD.replace("agent --version", "agent --help"))
    assert gather(agreed, tmp_path / "golden.ova").used == ()


def test_one_that_the_descriptor_names_is_looked_for_beside_the_image(tmp_path: Path) -> None:
    put(tmp_path, "acme")
    assert gather(Site(), tmp_path / "golden.ova").left == ()
    assert len(gather(Site(), tmp_path / "golden.ova", ["acme", "../acme"]).left) == 1


def test_in_a_packages_folder_all_are_proposals(tmp_path: Path) -> None:
    put(tmp_path / "golden", "one")
    put(tmp_path / "golden", "two", GOOD.replace('"acme"', '"two"'))
    assert [one.name for one in gather(Site(), tmp_path / "golden").left] == ["acme", "two"]


def test_the_sites_own_recipe_comes_before_an_images(tmp_path: Path) -> None:
    put(tmp_path / "recipes")
    put(tmp_path, "golden", GOOD.replace("agent --version", "agent --help"))
    site = told(tmp_path, '[recipes]\nfolder = "recipes"\n')
    found = gather(site, tmp_path / "golden.ova")
    assert [one.origin for one in found.used] == ["site"]
    assert found.left == ()


def test_a_link_beside_the_image_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere")
    (tmp_path / "golden.recipe.toml").symlink_to(tmp_path / "elsewhere/acme.recipe.toml")
    (left,) = gather(Site(), tmp_path / "golden.ova").left
    assert "it is a link" in left.why


def test_a_bad_one_of_the_image_is_left_out_and_of_the_site_an_error(tmp_path: Path) -> None:
    put(tmp_path, "golden", "[recipe]\n")
    (left,) = gather(Site(), tmp_path / "golden.ova").left
    assert "left out" in left.why
    put(tmp_path / "recipes", "acme", "[recipe]\n")
    with pytest.raises(RecipeRefused):
        gather(told(tmp_path, '[recipes]\nfolder = "recipes"\n'), tmp_path / "golden.ova")


def test_two_of_one_name_are_an_error(tmp_path: Path) -> None:
    files = [put(tmp_path, "one"), put(tmp_path, "two")]
    with pytest.raises(RecipeRefused, match="two recipes named acme"):
        site_recipes(with_options(Site(), recipes=files))


def test_a_step_without_an_application_is_only_for_the_command_line(tmp_path: Path) -> None:
    text = '[recipe]\nname = "tidy"\n[update]\ncommands = ["rm -r /srv/x"]\nchanges = ["/srv/x"]\n'
    path = put(tmp_path / "recipes", "tidy", text)
    with pytest.raises(RecipeRefused, match="every plan would run it"):
        site_recipes(told(tmp_path, '[recipes]\nfolder = "recipes"\n'))
    assert site_recipes(with_options(Site(), recipes=[path]))[0].name == "tidy"
