"""Which recipes count for an image: those of the site and of the command line, and those that came
with the image where the site has agreed to them.

A recipe's commands run, if only in the sandbox, so one that an image brings is a proposal. The site
agrees to its digest, not to its name: another recipe of that name is another proposal.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from regild.agent.reading.intake import Image, System
from regild.agent.reading.stated import descriptor_of
from regild.agent.site import Site
from regild.errors import InputError, MissingFile, RecipeRefused, TooLarge
from regild.host.files import read_limited
from regild.host.remote import address_of
from regild.model.answers import RecipeAnswer, RecipeFile
from regild.model.appliance import Descriptor
from regild.model.plan import Skipped
from regild.model.recipe import Origin, Recipe, RecipeFault
from regild.model.recipe_file import (
    FILE_BYTES_MAX,
    SUFFIX,
    check_recipe,
    named_texts,
    read_recipe,
)
from regild.model.recipe_rules import NAME

RECIPES_MAX = 1000
PROPOSED_MAX = 50
TEXT_BYTES_MAX = 32 << 20


class Recipes(msgspec.Struct, frozen=True):
    """The recipes that count for one image, and those that do not, with the reason."""

    used: tuple[Recipe, ...] = ()
    left: tuple[Skipped, ...] = ()


def recipes_for(image: Image, site: Site) -> Recipes:
    """The recipes that count for an image.

    Raises: RecipeRefused for one of the site or the command line that cannot be used; MissingFile.
    """
    named = {name for one in image.systems for name in _named_by(image, one)}
    return gather(site, image.path, named)


def gather(site: Site, path: Path, named: Iterable[str] = ()) -> Recipes:
    """The same by an image's path, and the recipes that its descriptors name.

    Raises: as `recipes_for`.
    """
    used = {one.name: one for one in site_recipes(site)}
    left: list[Skipped] = []
    for file in _beside(path, named):
        try:
            proposed = load_recipe(file, "image")
        except (InputError, UnicodeError) as error:
            left.append(Skipped(file.name, f"the image's own recipe is left out: {error}"))
            continue
        if proposed.name in used:
            continue
        if proposed.digest in site.recipes.allow:
            used[proposed.name] = proposed
        else:
            why = (
                f"the image proposes this recipe, and the site has not agreed to {proposed.digest}"
            )
            left.append(Skipped(proposed.name, why))
    return Recipes(tuple(used.values()), tuple(left))


def site_recipes(site: Site) -> tuple[Recipe, ...]:
    """The recipes of the site's folder and of the command line, by name.

    Raises: RecipeRefused, MissingFile.
    """
    found: dict[str, Recipe] = {}
    settings = site.recipes
    rows: list[tuple[Path, Origin]] = [(path, "site") for path in _in_folder(settings.folder)]
    rows += [(path, "command line") for path in settings.files]
    for path, origin in rows:
        one = load_recipe(path, origin)
        if origin == "site" and not (one.detect or one.pip or one.npm):
            why = "it has no [detect], so every plan would run it; give it to regild run --recipe"
            raise RecipeRefused(where=str(path), why=why)
        if one.name in found:
            raise RecipeRefused(where=str(path), why=f"there are two recipes named {one.name}")
        found[one.name] = one
    return tuple(found[name] for name in sorted(found))


def load_recipe(path: Path, origin: Origin) -> Recipe:
    """A recipe with the files that it names beside itself; of an image's, no link is followed.

    Raises: RecipeRefused, MissingFile, TooLarge.
    """
    content = _read(path, FILE_BYTES_MAX, origin)
    folder = path.absolute().parent
    texts = {}
    for name in named_texts(content):
        try:
            texts[name] = _read(folder / name, TEXT_BYTES_MAX, origin).decode()
        except UnicodeDecodeError as error:
            raise RecipeRefused(where=str(path), why=f"{name} is no text: {error}") from error
    return read_recipe(content, str(path), origin, str(folder), texts)


def check_files(paths: Iterable[Path]) -> RecipeAnswer:
    """All that is wrong in some recipes, and the digests of those that can be used.

    Raises: MissingFile, NotPermitted.
    """
    return RecipeAnswer(tuple(map(_checked, paths)))


def _checked(path: Path) -> RecipeFile:
    try:
        content = read_limited(path, FILE_BYTES_MAX)
    except TooLarge as error:
        return RecipeFile(str(path), faults=(RecipeFault(0, "", error.why),))
    if faults := check_recipe(content):
        return RecipeFile(str(path), faults=faults)
    try:
        found = load_recipe(path, "site")
    except InputError as error:
        return RecipeFile(str(path), faults=(RecipeFault(0, "", error.why),))
    return RecipeFile(str(path), found.name, found.digest)


def _read(path: Path, limit: int, origin: Origin) -> bytes:
    if origin == "image" and path.is_symlink():
        raise RecipeRefused(where=str(path), why="it is a link, which could lead anywhere")
    return read_limited(path, limit)


def _in_folder(folder: Path | None) -> list[Path]:
    """The recipes in a folder, sorted.

    Raises: MissingFile, TooLarge.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise MissingFile(where=str(folder), why="[recipes] folder names a folder of recipes")
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) > RECIPES_MAX:
        raise TooLarge(where=str(folder), why=f"it holds more than {RECIPES_MAX} recipes")
    return found


def _beside(path: Path, named: Iterable[str]) -> Iterator[Path]:
    """The recipes that came with an image: in its folder, or beside it under its name or under one
    that its descriptor names."""
    if address_of(path) is not None:
        return
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        found = set(folder.glob(f"*{SUFFIX}"))
    else:
        stem = glob.escape(path.name.rpartition(".")[0] or path.name)
        found = {*folder.glob(f"{stem}{SUFFIX}"), *folder.glob(f"{stem}.*{SUFFIX}")}
        found |= {folder / f"{one}{SUFFIX}" for one in named if NAME.fullmatch(one)}
    yield from sorted(one for one in found if one.is_file())[:PROPOSED_MAX]


def _named_by(image: Image, system: System) -> Iterator[str]:
    """The recipes by which a system's descriptor says that applications were found."""
    descriptor, _ = descriptor_of(image, system)
    yield from named_in(descriptor)


def named_in(descriptor: Descriptor | None) -> Iterator[str]:
    """The recipes by which a descriptor says that applications were found."""
    yield from (one.recipe for one in (descriptor.content.applications if descriptor else ()))
