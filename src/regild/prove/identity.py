"""Whether the image is as generic, or as much its own, as it was: what a change must never set.

Clones of an image share what is in it. A machine-id, a host key or a random seed that a change made
up would be shared by all of them; one that was there belongs to the image's owner.
Source: machine-id(5), systemd-random-seed.service(8), sshd(8), hostname(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from regild.image.tree import Tree
from regild.model.plan import Difference
from regild.prove.scene import Scene, digest_at, find_node, names_in

OWN = (
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/systemd/credential.secret",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/adjtime",
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/localtime",
)
"""Files of an image's own, present or absent."""

CLEARED = {
    "machine-id": ("/etc/machine-id", "/var/lib/dbus/machine-id"),
    "random-seed": ("/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed"),
}
KEYS = {"host-keys": "/etc/ssh/ssh_host_"}
"""What of it a plan may clear, by the plan's word."""
FOLDERS = {"/etc/ssh": "ssh_host_", "/root/.ssh": "", "/etc/sudoers.d": "", "/etc/cloud": "ds-"}
"""Folders, and how those names begin in them that are the image's own."""
BYTES_MAX = 16 << 20


def check_identity(scene: Scene) -> Iterator[Difference]:
    """What of the image's own is not as it was before the change."""
    if scene.before is None:
        return
    paths = dict.fromkeys((*OWN, *_found(scene.before.tree), *_found(scene.tree)))
    for path in paths:
        was, seen = _said(scene.before.tree, path), _said(scene.tree, path)
        if was != seen and not _is_shipped(scene, path) and not _is_cleared(scene, path):
            yield Difference(path, was, seen)


def _found(tree: Tree) -> Iterator[str]:
    for folder, begin in FOLDERS.items():
        yield from (f"{folder}/{name}" for name in names_in(tree, folder) if name.startswith(begin))


def _said(tree: Tree, path: str) -> str:
    """What stands at a path, in a few words that are equal where it is."""
    node = find_node(tree, path)
    if node is None:
        return "absent"
    if node.kind != "file":
        return f"{node.kind} {node.target}".strip()
    return f"mode {node.mode:04o}, {digest_at(tree, path, BYTES_MAX)}"


def _is_cleared(scene: Scene, path: str) -> bool:
    """Whether the plan had it cleared, and nothing is left of it."""
    if not any(
        path in CLEARED.get(one, ()) or path.startswith(KEYS.get(one, "-")) for one in scene.seal
    ):
        return False
    node = find_node(scene.tree, path)
    return node is None or (node.kind == "file" and node.bytes == 0)


def _is_shipped(scene: Scene, path: str) -> bool:
    """Whether a package of the plan brought the path, which other checks then judge."""
    return any(one.path == path for package in scene.shipped or () for one in package.paths)
