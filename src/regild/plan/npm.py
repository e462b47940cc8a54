"""What brings a folder of node_modules to what a recipe's lock asks for: exact tarballs, installed
offline by the guest's own npm; pure.

A lock says every package with its digest, so nothing has to be solved here. Scripts of packages do
not run (`--ignore-scripts`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import zip_longest

from msgspec.structs import replace

from regild.model.content import Content, Package, TextFile
from regild.model.npm_lock import Locked, read_lock
from regild.model.plan import Archive, Skipped, Step
from regild.model.purl import package_url
from regild.model.recipe import NpmPart, Recipe
from regild.plan.recipes import OFFLINE_WHY, Addition, errand_of, why_left
from regild.plan.wishes import Policy, Wishes

LOCK = "package-lock.json"
HIDDEN = "node_modules/.package-lock.json"
"""Where npm notes what it has installed."""
SECURITY_WHY = "a lock of npm does not say which versions are security updates"

Find = Callable[[Locked], Archive]
"""Where a locked package's tarball is."""
Move = tuple[str, str, str]
"""Name, version before and version after; one of the versions may be empty."""


def plan_node(
    recipe: Recipe, part: NpmPart, content: Content, find: Find, wishes: Wishes, policy: Policy
) -> Addition:
    """The steps from what a folder holds to what the lock asks for, and their errand.

    Raises: Malformed for a lock that cannot be read, and what `find` raises.
    """
    begin = f"{part.folder}/node_modules/"
    here = [one for one in content.packages if one.type == "npm" and one.where.startswith(begin)]
    if not here:
        why = f"no packages of npm are known in {part.folder}"
        return Addition(skipped=(Skipped(recipe.name, why),))
    locked = read_lock(part.lock, f"the lock of {recipe.name}", content.platform.arch)
    moves = tuple(_moves(here, locked))
    if not moves:
        return Addition()
    why_not = why_left(recipe.name, wishes, policy)
    if why_not is None and wishes.mode == "security":
        why_not = SECURITY_WHY
    if why_not is not None:
        return Addition(skipped=(Skipped(recipe.name, why_not),) if why_not else ())
    return _addition(recipe, part, here, locked, moves, find)


def _moves(here: list[Package], locked: tuple[Locked, ...]) -> Iterator[Move]:
    """What changes, by name; several versions of one name may lie side by side."""
    # A lock names a package once for each place, the list of a guest each version once.
    before = {(one.name, one.version) for one in here}
    after = {(one.name, one.version) for one in locked}
    gone, come = before - after, after - before
    for name in sorted({name for name, _ in (*gone, *come)}):
        old = sorted(version for one, version in gone if one == name)
        new = sorted(version for one, version in come if one == name)
        for was, becomes in zip_longest(old, new, fillvalue=""):
            yield name, was, becomes


def _addition(
    recipe: Recipe,
    part: NpmPart,
    here: list[Package],
    locked: tuple[Locked, ...],
    moves: tuple[Move, ...],
    find: Find,
) -> Addition:
    tarballs = {one: replace(find(one), name=tarball_name(one)) for one in locked}
    by_version = {(one.name, one.version): file for one, file in tarballs.items()}
    steps = tuple(_step(recipe, move, by_version.get((move[0], move[2]))) for move in moves)
    where = f"{part.folder}/{HIDDEN}"
    after = [_package(name, version, where) for name, version in sorted(by_version)]
    folder = shlex.quote(part.folder)
    install = (
        f'cd {folder}; for file in "$REGILD_FILES"/*.tgz; do '
        'npm cache add "$file" --cache /tmp/npm; done; '
        f'cp "$REGILD_FILES/{LOCK}" {LOCK}; '
        "npm ci --offline --omit=dev --ignore-scripts --no-audit --no-fund --cache /tmp/npm"
    )
    listing = ("npm", "ls", "--all", "--omit=dev", "--cache", "/tmp/npm", "--prefix", part.folder)  # noqa: S108 - the guest's
    errand = replace(
        errand_of(recipe, tuple(tarballs.values())),
        commands=(("sh", "-ec", install),),
        tests=(listing, *recipe.tests),
        changes=(f"{part.folder}/node_modules", f"{part.folder}/{LOCK}"),
        texts=(TextFile(LOCK, part.lock),),
    )
    old = tuple((one, None) for one in here)
    return Addition(steps, (errand,), packages=(*old, *((None, one) for one in after)))


def _step(recipe: Recipe, move: Move, archive: Archive | None) -> Step:
    name, was, becomes = move
    return Step(
        "upgrade" if was and becomes else "install" if becomes else "remove",
        name,
        "",
        was,
        becomes,
        type="npm",
        source=name,
        source_version=becomes,
        method_why=OFFLINE_WHY,
        why=f"the lock of the recipe {recipe.name} asks for it",
        archive=archive,
        recipe=recipe.name,
    )


def _package(name: str, version: str, where: str) -> Package:
    """A package as it will be described."""
    scope, _, bare = name.rpartition("/")
    url = package_url("npm", bare, version, namespace=scope).replace("/@", "/%40")
    return Package("npm", name, version, source=name, source_version=version, purl=url, where=where)


def tarball_name(locked: Locked) -> str:
    """A file name of our own for a tarball, told apart by its digest."""
    plain = re.sub("[^a-z0-9.-]", "-", locked.name.lower()).strip("-.")
    return f"{plain}-{locked.digest.rpartition(':')[2][:16]}.tgz"
