"""Whether the files of packages are those that the packages brought.

Of a plan's packages every path is held against the package file itself, whose digest a signed index
vouches for; of the others their files against the sums in the package database, which are only as
good as that database. Source: dpkg(1); deb-conffiles(5); dpkg's handling of folders and links.
"""

from __future__ import annotations

from collections.abc import Iterator

from regild.feeds.shipped import Shipped, ShippedPackage
from regild.image.tree import Node
from regild.model.plan import Difference
from regild.prove.dpkg_files import DpkgFiles
from regild.prove.scene import UNREADABLE, Scene, digest_at, find_node, names_in, sum_at

SUMMED_BYTES_MAX = 4 << 30
"""A file above is not read here, but reported."""


def check_shipped(scene: Scene) -> Iterator[Difference]:
    """Every path of the plan's packages that is not in the guest as its package file has it."""
    database = scene.dpkg
    if database is None:
        return
    everywhere = frozenset[str]().union(*database.lists.values()) if database.lists else frozenset()
    for package in scene.shipped or ():
        name = database.names.get((package.name, package.arch))
        own = database.lists.get(name or "")
        if name is None or own is None:
            yield Difference(f"files of {package.name}", "a list in dpkg's database", "none")
            continue
        for one in package.paths:
            if one.path in own:
                yield from _path(scene, database, package, name, one)
            elif one.path not in everywhere and not database.is_left_out(one.path):
                yield Difference(one.path, f"in dpkg's list of {package.name}", "in none")


def check_config(scene: Scene) -> Iterator[Difference]:
    """Configuration files that are neither as shipped nor as the site had them changed before."""
    database = scene.dpkg
    if database is None:
        return
    for package in scene.shipped or ():
        for one in package.paths:
            if not one.is_config or one.path in database.diversions:
                continue
            told = database.config.get(one.path)
            if told != one.md5:
                what = f"dpkg's sum of {one.path}"
                yield Difference(what, one.md5, told or "none")
            yield from _config(scene, one)


def check_sums(scene: Scene) -> Iterator[Difference]:
    """Files of any package that are not as the package database says; configuration apart."""
    database = scene.dpkg
    if database is None:
        return
    for (package, _), name in sorted(database.names.items(), key=lambda row: row[1]):
        for path, md5 in database.sums(name):
            if path in database.config or database.is_left_out(path):
                continue
            place = database.place_of(path, package)
            found = _md5_at(scene, place)
            if found != md5:
                yield Difference(place, f"MD5 {md5} of {package}", found)


def check_lists(scene: Scene) -> Iterator[Difference]:
    """Packages whose list of files is gone from the database, or empty."""
    database = scene.dpkg
    if database is None:
        return
    for (package, _), name in sorted(database.names.items(), key=lambda row: row[1]):
        listed = database.lists.get(name)
        if not listed:
            yield Difference(f"files of {package}", "a list in dpkg's database", "none")


def _path(
    scene: Scene, database: DpkgFiles, package: ShippedPackage, name: str, one: Shipped
) -> Iterator[Difference]:
    place = database.place_of(one.path, package.name)
    node = find_node(scene.tree, place)
    if node is None:
        if not (one.is_config or database.is_left_out(one.path)):
            yield Difference(place, f"{one.kind} of {package.name}", "absent")
        return
    yield from _kind_and_target(scene, place, one, node)
    # A package's own script may set another owner or mode, and says for which path.
    free = one.path in database.overrides or one.kind in ("directory", "symlink")
    seen = _access(node, one)
    roots = None if node.owner is None else (0, 0)
    wanted = _access(Node("file", mode=one.mode, owner=roots), one)
    opened = node.kind == "file" and node.mode & ~one.mode & 0o002
    if not free and seen != wanted and (opened or not database.is_dressed(name, one.path)):
        yield Difference(place, wanted, seen)


def _kind_and_target(scene: Scene, place: str, one: Shipped, node: Node) -> Iterator[Difference]:
    """Type, content and target; dpkg keeps a folder where there was one, also behind a link."""
    if one.kind == "directory":
        if node.kind != "directory" and not names_in(scene.tree, place):
            yield Difference(place, "directory", node.kind)
    elif one.kind == "symlink" and node.kind == "directory":
        return
    elif node.kind != one.kind:
        yield Difference(place, one.kind, node.kind)
    elif node.kind == "symlink" and node.target != one.target:
        yield Difference(place, f"link to {one.target}", f"link to {node.target}")
    elif node.kind == "file" and not one.is_config:
        seen = digest_at(scene.tree, place, one.bytes)
        if seen != one.digest:
            yield Difference(place, one.digest or "", seen)


def _config(scene: Scene, one: Shipped) -> Iterator[Difference]:
    """One configuration file: as it is shipped now, or as it was where the site had changed it."""
    limit = SUMMED_BYTES_MAX
    seen = digest_at(scene.tree, one.path, limit)
    if seen == one.digest:
        return
    if find_node(scene.tree, one.path) is None and not _was_taken_away(scene, one.path):
        yield Difference(one.path, one.digest or "", "absent")
        return
    was = digest_at(scene.before.tree, one.path, limit) if scene.before else seen
    shipped_before = scene.dpkg_before.config.get(one.path) if scene.dpkg_before else None
    if scene.before and shipped_before is not None and _md5_before(scene, one) == shipped_before:
        # Nobody had changed it, so it follows the package.
        yield Difference(one.path, one.digest or "", seen)
    elif seen != was:
        yield Difference(one.path, f"as before ({was}), or as shipped ({one.digest})", seen)


def _was_taken_away(scene: Scene, path: str) -> bool:
    """Whether the site had removed a configuration file before, which dpkg respects."""
    if scene.before is None or scene.dpkg_before is None:
        return scene.before is None
    return path in scene.dpkg_before.config and find_node(scene.before.tree, path) is None


def _md5_before(scene: Scene, one: Shipped) -> str:
    """The MD5 that dpkg would find of a configuration file before the change."""
    if scene.before is None:
        return ""
    try:
        return sum_at(scene.before.tree, one.path, SUMMED_BYTES_MAX, "md5")
    except UNREADABLE:
        return ""


def _md5_at(scene: Scene, place: str) -> str:
    try:
        return sum_at(scene.tree, place, SUMMED_BYTES_MAX, "md5")
    except UNREADABLE as error:
        return str(error)


def _access(node: Node, one: Shipped) -> str:
    """Mode, and owner where both sides tell it by number."""
    known = node.owner is not None and one.is_roots
    owner = f", owner {node.owner[0]}:{node.owner[1]}" if known and node.owner else ""
    return f"mode {node.mode:04o}{owner}"
