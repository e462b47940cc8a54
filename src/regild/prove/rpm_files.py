"""Whether the files of rpm's packages are those that the packages brought.

Of a plan's packages the measure is the header of the package file, which its digest vouches for;
the database has to say the same. Where there is no plan the database is the measure, which is as
good as what `rpm --verify` asks. Source: rpm(8), VERIFY OPTIONS; the handling of configuration
files in rpm's documentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from regild.image.tree import Guest, Node
from regild.model.plan import Difference
from regild.model.rpm_files import RpmFile, RpmPackage
from regild.prove.rpm_database import RpmFiles, key_of, read_accounts
from regild.prove.scene import UNREADABLE, Scene, find_node, names_in, sum_at

CONTENT_BYTES_MAX = 4 << 30
BYTES_OF_CONFIG = 64 << 20


def check_rpm_lists(scene: Scene) -> Iterator[Difference]:
    """Packages of the plan of which the database does not say what their package files say, and
    where there is no plan, packages that own a path twice."""
    rpm = scene.rpm or RpmFiles(())
    for package in rpm.planned:
        name = package.identity.name
        found = rpm.by_name.get(key_of(package))
        if found is None:
            yield Difference(f"files of {name}", "a list in rpm's database", "none")
        elif [_told(one) for one in found.files()] != [_told(one) for one in package.files()]:
            yield Difference(f"files of {name}", "the list of its package file", "another")
    for package in rpm.installed if not rpm.planned else ():
        twice = [path for path, count in Counter(package.paths()).items() if count > 1]
        for path in twice[:1]:
            yield Difference(f"files of {package.identity.name}", f"{path} once", "twice")


def check_rpm_shipped(scene: Scene) -> Iterator[Difference]:
    """Every path of the plan's packages that is not in the guest as its package file has it."""
    rpm, accounts = scene.rpm or RpmFiles(()), read_accounts(scene.guest)
    for package in rpm.planned:
        database = rpm.by_name.get(key_of(package), package)
        left_out = {one.path for one in database.files() if not one.is_here}
        for one in package.files():
            if one.path not in left_out:
                yield from _path(scene, package, one, accounts)


def check_rpm_sums(scene: Scene) -> Iterator[Difference]:
    """Files of any package that are not as the database says; configuration apart."""
    rpm, accounts = scene.rpm or RpmFiles(()), read_accounts(scene.guest)
    for package in rpm.installed:
        for one in package.files():
            if one.is_here:
                yield from _path(scene, package, one, accounts)


def check_rpm_config(scene: Scene) -> Iterator[Difference]:
    """Configuration files that are neither as shipped nor as the site had them changed before."""
    rpm = scene.rpm or RpmFiles(())
    for package in rpm.planned:
        for one in package.files():
            if one.is_config and one.kind == "file" and not one.is_ghost:
                yield from _config(scene, rpm, one)


def _config(scene: Scene, rpm: RpmFiles, one: RpmFile) -> Iterator[Difference]:
    seen = _digest(scene.guest, one)
    if seen == one.digest or (one.may_miss and find_node(scene.tree, one.path) is None):
        return
    was = _digest(scene.before, one) if scene.before else seen
    if scene.before and was == rpm.config_before.get(one.path):
        # Nobody had changed it, so it follows the package.
        yield Difference(one.path, one.digest, seen)
    elif seen != was:
        yield Difference(one.path, f"as before ({was}), or as shipped ({one.digest})", seen)


Accounts = tuple[dict[str, int], dict[str, int]]


def _path(
    scene: Scene, package: RpmPackage, one: RpmFile, accounts: Accounts
) -> Iterator[Difference]:
    """One path that a package brings; what it only owns (%ghost) may be anything."""
    if one.is_ghost:
        return
    node = find_node(scene.tree, one.path)
    if node is None:
        if not one.may_miss:
            yield Difference(one.path, f"{one.kind} of {package.identity.name}", "absent")
        return
    if node.kind == "symlink" and one.kind == "directory" and names_in(scene.tree, one.path):
        return  # a folder that the site keeps elsewhere
    if node.kind != one.kind:
        yield Difference(one.path, one.kind, node.kind)
        return
    if one.kind == "symlink" and one.verified.target and node.target != one.target:
        yield Difference(one.path, f"link to {one.target}", f"link to {node.target}")
    if one.kind == "file" and one.verified.content and not one.is_config:
        seen = _digest(scene.guest, one)
        if seen != one.digest:
            yield Difference(one.path, one.digest, seen)
    yield from _access(scene, one, node, accounts)


def _access(scene: Scene, one: RpmFile, node: Node, accounts: Accounts) -> Iterator[Difference]:
    """Mode and owner, where the package cares and no other package has another wish for them."""
    rpm = scene.rpm
    if one.kind == "symlink" or rpm is None or rpm.owners[one.path] > 1:
        return
    if one.verified.mode and node.mode != one.mode:
        yield Difference(one.path, f"mode {one.mode:04o}", f"mode {node.mode:04o}")
    if node.owner is None:
        return
    for wanted, number, names, asked in (
        (one.user, node.owner[0], accounts[0], one.verified.owner),
        (one.group, node.owner[1], accounts[1], one.verified.group),
    ):
        if asked and wanted and names.get(wanted) != number:
            known = f"{wanted} ({names[wanted]})" if wanted in names else f"{wanted}, an account"
            yield Difference(one.path, f"of {known}", f"of {number}")


def _digest(guest: Guest, one: RpmFile) -> str:
    """The digest of what stands at a path, by the package's own algorithm, or why there is none."""
    if not one.algorithm:
        return "an unknown kind of digest"
    limit = BYTES_OF_CONFIG if one.is_config else CONTENT_BYTES_MAX
    try:
        return sum_at(guest.tree, one.path, limit, one.algorithm)
    except UNREADABLE as error:
        return str(error)


def _told(one: RpmFile) -> tuple[object, ...]:
    """What package file and database have to say alike of a path."""
    facts = one.path, one.kind, one.mode, one.bytes, one.digest, one.target
    return (*facts, one.user, one.group, one.capabilities, one.is_config, one.is_ghost)
