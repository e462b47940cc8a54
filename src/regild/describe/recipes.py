"""Applications that recipes tell how to find: by a file that is there, and the version that it, or
its name, states.

Files are only read, and only within bounds; nothing of the guest runs. What a recipe reads is no
witness: a descriptor must mean the same where the recipe is not at hand.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Sequence
from typing import Any

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.errors import Malformed, TooLarge
from regild.model.content import Application, Unknown
from regild.model.pattern import first_group
from regild.model.recipe import Detect, Recipe
from regild.model.recipe_rules import VERSION

TEXT_LIMIT = 1 << 20
"""Bytes of a file that states a version."""
PLACES_LIMIT = 100
"""How often one application may be there."""
NAMES_LOOKED_AT = 20_000
FIRST_WORD_LIMIT = 4096


def find_applications(
    evidence: Evidence, recipes: Sequence[Recipe], known: Sequence[Application]
) -> tuple[tuple[Application, ...], tuple[Unknown, ...]]:
    """The applications of a guest with those that recipes find, each place once, and what of
    theirs could not be read.

    What a recipe finds in a folder of /opt stands for the folder itself.
    """
    found: list[Application] = []
    unknowns: list[Unknown] = []
    for recipe in recipes:
        if recipe.detect is None:
            continue
        try:
            paths = tuple(_paths(evidence, recipe.detect.file))
        except Unreadable as error:
            unknowns.append(unknown(error, f"{recipe.detect.file} (recipe {recipe.name})"))
            continue
        for path in paths:
            try:
                version = _version(evidence, path, recipe.detect)
                found.append(Application(recipe.name, version, path, recipe.name))
            except Unreadable as error:
                unknowns.append(unknown(error, f"{path} (recipe {recipe.name})"))
    told_of = {_folder(one.where) for one in found}
    rest = [one for one in known if _folder(one.where) not in told_of]
    return (*rest, *found), tuple(unknowns)


def _folder(where: str) -> str:
    """The folder of /opt that a path lies in; else the path itself."""
    parts = where.split("/")
    return "/".join(parts[:3]) if parts[1:2] == ["opt"] else where


def _paths(evidence: Evidence, wanted: str) -> Iterator[str]:
    """The paths that are there, of one that may hold stars; links on the way are the guest's own.

    Raises: TooLarge, and the errors of the tree.
    """
    places = [""]
    for name in wanted.strip("/").split("/"):
        if not any(sign in name for sign in "*?"):
            places = [f"{place}/{name}" for place in places]
            continue
        places = [
            f"{place}/{one}"
            for place in places
            for one in _names(evidence, place)
            if fnmatch.fnmatchcase(one, name.replace("[", "[[]")) and one.isprintable()
        ]
        if len(places) > PLACES_LIMIT:
            raise TooLarge(where=wanted, why=f"it fits more than {PLACES_LIMIT} paths")
    yield from (place for place in places if evidence.find(place) is not None)


def _names(evidence: Evidence, folder: str) -> list[str]:
    """The names in a folder, sorted; none where it is no folder."""
    node = evidence.find(folder or "/")
    if node is None or node.kind not in ("directory", "symlink"):
        return []
    names = [name for name, _ in evidence.entries(folder or "/")]
    if len(names) > NAMES_LOOKED_AT:
        raise TooLarge(where=folder, why=f"the folder holds more than {NAMES_LOOKED_AT} names")
    return sorted(names)


def _version(evidence: Evidence, path: str, detect: Detect) -> str:
    """The version that a file or its name states.

    Raises: Malformed where it states none, and the errors of the tree.
    """
    if detect.name:
        version = first_group(detect.name, path.rpartition("/")[2], whole=True)
    else:
        text = evidence.peek(path, TEXT_LIMIT).decode(errors="replace")
        version = _stated(text, path, detect)
    if not VERSION.fullmatch(version):
        said = f"{version[:40]!r} is no version" if version else "it states no version"
        raise Malformed(where=path, why=said)
    return version


def _stated(text: str, path: str, detect: Detect) -> str:
    if detect.pattern:
        return first_group(detect.pattern, text)
    if detect.json:
        return _in_json(text, path, detect.json)
    words = text[:FIRST_WORD_LIMIT].split()
    return words[0] if words else ""


def _in_json(text: str, path: str, way: tuple[str, ...]) -> str:
    """What stands in a JSON file at the end of a way of names and places in lists."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(where=path, why="it is not JSON") from error
    for name in way:
        if isinstance(found, list) and name.isdecimal() and int(name[:9]) < len(found):
            found = found[int(name[:9])]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            raise Malformed(where=path, why=f"it has no {'.'.join(way)}")
    return str(found) if isinstance(found, str | int | float) else ""
