"""Whether the files of apk's packages are those that the packages brought.

Of a plan's packages the measure is the package file, which a signed index vouches for; the database
has to say the same. Where there is no plan the database's sums are the measure. What is protected
(configuration) is kept where the site changed it. Source: apk(8), apk-audit(8), apk-v2(5);
`protected_paths.d` of apk-tools.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from regild.feeds.shipped import Shipped, ShippedPackage
from regild.image.tree import Node, Tree
from regild.model.apk_blocks import WORLD
from regild.model.apk_database import Installed
from regild.model.plan import Difference
from regild.prove.apk_database import ApkFiles
from regild.prove.rpm_database import read_accounts
from regild.prove.scene import UNREADABLE, Scene, digest_at, find_node, names_in, sum_at

CONTENT_LIMIT = 4 << 30
CONFIG_LIMIT = 64 << 20
WRITTEN = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/shells")
"""What scripts add lines to by programs of their own; accounts are a question of their own."""
Accounts = tuple[dict[str, int], dict[str, int]]


def check_apk_lists(scene: Scene) -> Iterator[Difference]:
    """Packages of the plan of which the database does not say what their package files say, and
    where there is no plan, paths that two packages have; and a world that asks for more or less."""
    apk = scene.apk
    if apk is None:
        return
    if scene.apk_before and apk.world != scene.apk_before.world:
        yield Difference(WORLD, scene.apk_before.world, apk.world)
    for package in scene.shipped or ():
        found = apk.by_name.get(package.name)
        if found is None:
            yield Difference(f"files of {package.name}", "a list in apk's database", "none")
            continue
        known = {one.path: one.sha1 for one in package.paths if one.kind != "directory"}
        for path in sorted(known.keys() ^ found.files.keys()):
            if path not in apk.sums or path not in known:
                told = "in it" if path in known else "absent"
                yield Difference(path, f"{told} in apk's list of {package.name}", "not so")
        for path, (_, digits) in found.files.items():
            if known.get(path) and known[path] != digits:
                yield Difference(f"apk's sum of {path}", known[path], digits or "none")
    if scene.shipped is None:
        times = Counter(path for one in apk.installed for path in one.files)
        for path, count in times.items():
            if count > 1:
                yield Difference(path, "in the list of one package", f"of {count}")


def check_apk_shipped(scene: Scene) -> Iterator[Difference]:
    """Every path of the plan's packages that is not in the guest as its package file has it."""
    apk, accounts = scene.apk, read_accounts(scene.guest)
    if apk is None:
        return
    for package in scene.shipped or ():
        own = apk.by_name.get(package.name, Installed())
        for one in package.paths:
            if one.path in own.files or one.kind == "directory":
                yield from _path(scene, apk, package, one, accounts)


def check_apk_config(scene: Scene) -> Iterator[Difference]:
    """Protected files that are neither as shipped nor as the site had them changed before."""
    apk, before = scene.apk, scene.apk_before
    if apk is None:
        return
    scripts = "\n".join(package.scripts for package in scene.shipped or ())
    for package in scene.shipped or ():
        for one in package.paths:
            if one.path in WRITTEN or one.path in scripts:
                continue
            if one.kind == "file" and apk.is_protected(one.path):
                yield from _config(scene, before, one)


def check_apk_sums(scene: Scene) -> Iterator[Difference]:
    """Files of any package that are not as the database says; what is protected apart."""
    apk = scene.apk
    for package in apk.installed if apk else ():
        for path, (algorithm, digits) in package.files.items():
            if algorithm and apk and not apk.is_protected(path):
                found = _sum_at(scene.tree, path, algorithm)
                if found != digits:
                    what = f"{algorithm.upper()} {digits} of {package.name}"
                    yield Difference(path, what, found)


def _config(scene: Scene, before: ApkFiles | None, one: Shipped) -> Iterator[Difference]:
    seen = digest_at(scene.tree, one.path, CONFIG_LIMIT)
    if seen == one.digest:
        return
    was = digest_at(scene.before.tree, one.path, CONFIG_LIMIT) if scene.before else seen
    algorithm, digits = before.sums.get(one.path, ("", "")) if before else ("", "")
    if before and algorithm and _sum_at(before.tree, one.path, algorithm) == digits:
        # Nobody had changed it, so it follows the package.
        yield Difference(one.path, one.digest or "", seen)
    elif seen != was:
        yield Difference(one.path, f"as before ({was}), or as shipped ({one.digest})", seen)


def _path(
    scene: Scene, apk: ApkFiles, package: ShippedPackage, one: Shipped, accounts: Accounts
) -> Iterator[Difference]:
    """One path that a package brings; a folder may be kept elsewhere, behind a link."""
    node = find_node(scene.tree, one.path)
    protected = one.kind != "directory" and apk.is_protected(one.path)
    if node is None:
        if not protected:
            yield Difference(one.path, f"{one.kind} of {package.name}", "absent")
    elif one.kind == "directory":
        if node.kind != "directory" and not names_in(scene.tree, one.path):
            yield Difference(one.path, "directory", node.kind)
    elif node.kind != one.kind:
        yield Difference(one.path, one.kind, node.kind)
    elif node.kind == "symlink":
        if node.target != one.target and not protected:
            yield Difference(one.path, f"link to {one.target}", f"link to {node.target}")
    else:
        if one.kind == "file" and not protected:
            seen = digest_at(scene.tree, one.path, one.bytes)
            if seen != one.digest:
                yield Difference(one.path, one.digest or "", seen)
        # A package's own script may set another owner or mode, and names the path.
        if one.path not in package.scripts and not protected:
            yield from _access(one, node, accounts)


def _access(one: Shipped, node: Node, accounts: Accounts) -> Iterator[Difference]:
    if node.mode != one.mode:
        yield Difference(one.path, f"mode {one.mode:04o}", f"mode {node.mode:04o}")
    if node.owner is None:
        return
    for wanted, number, known in (
        (one.user, node.owner[0], accounts[0]),
        (one.group, node.owner[1], accounts[1]),
    ):
        if wanted in known and known[wanted] != number:
            yield Difference(one.path, f"of {wanted} ({known[wanted]})", f"of {number}")


def _sum_at(tree: Tree, path: str, algorithm: str) -> str:
    """The sum of a file's content or a link's target, as the database keeps it."""
    node = find_node(tree, path)
    if node is None:
        return "absent"
    if node.kind == "symlink" and node.target:
        target = node.target.encode(errors="surrogateescape")
        return hashlib.new(algorithm, target, usedforsecurity=False).hexdigest()
    try:
        return sum_at(tree, path, CONTENT_LIMIT, algorithm)
    except UNREADABLE as error:
        return str(error)
