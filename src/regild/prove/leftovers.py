"""Whether anything lies about that a change made for itself, or did not finish.

Source: dpkg(1) and its source (`.dpkg-new`, `.dpkg-tmp`, `updates`, `tmp.ci`, `triggers/Unincorp`);
rpm's lib/fsm.c (`NAME;` and eight digits);
overlayfs and FUSE (`.wh.`, `.fuse_hidden`); invoke-rc.d(8) (policy-rc.d); cloud-init (seeds).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from regild.errors import MissingFile
from regild.image.tree import Tree
from regild.model.plan import Difference
from regild.prove.scene import UNREADABLE, Scene, find_node, names_in, walk

NAMES = re.compile(
    r".*\.dpkg-(new|tmp|divert\.tmp)|.+;[0-9a-f]{8}|\.fuse_hidden.*|\.nfs[0-9a-f]{16,}|\.wh\..*|.*\.ucf-new"
)
"""Names that nothing finished leaves behind."""

PLACES = (
    "/usr/sbin/policy-rc.d",
    "/usr/sbin/grub-probe.regild",
    "/run/regild",
    "/run/apt",
    "/var/lib/regild",
    "/var/lib/dpkg/tmp.ci",
    "/var/lib/dpkg/reassemble",
    "/usr/sbin/start-stop-daemon.REAL",
    "/sbin/start-stop-daemon.REAL",
    "/etc/dpkg/dpkg.cfg.d/regild",
    "/etc/apt/apt.conf.d/regild",
)
"""What is put there for the time of a change, by regild and by others that change images."""

FOLDERS = (
    "/var/lib/dpkg/updates",
    "/var/lib/cloud/seed",
    "/var/cache/apt/archives/partial",
    "/var/lib/apt/lists/partial",
)
"""Folders that have to be as empty as they were."""

UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
OURS = re.compile(r"regild[-.@].*")
TRIGGERS = "/var/lib/dpkg/triggers/Unincorp"
SMALL = 1 << 20


def check_leftovers(scene: Scene) -> Iterator[Difference]:
    """Everything that a finished change would have taken away."""
    for path in dict.fromkeys((*PLACES, *_in_folders(scene.tree), *_by_name(scene))):
        if find_node(scene.tree, path) is not None and not _was_there(scene, path):
            yield Difference(path, "absent", "left behind")
    pending = _size_of(scene.tree, TRIGGERS)
    if pending and not (scene.before and _size_of(scene.before.tree, TRIGGERS)):
        yield Difference(TRIGGERS, "no trigger that waits", f"{pending} bytes")


def _in_folders(tree: Tree) -> Iterator[str]:
    for folder in FOLDERS:
        yield from (f"{folder}/{name}" for name in names_in(tree, folder))
    for folder in UNITS:
        yield from (f"{folder}/{name}" for name in names_in(tree, folder) if OURS.fullmatch(name))


def _by_name(scene: Scene) -> Iterator[str]:
    """Paths with a telling name: where something changed, or everywhere if that is not known."""
    if scene.changed is None:
        for path, _ in walk(scene.tree, "/"):
            if NAMES.fullmatch(posixpath.basename(path)):
                yield path
        return
    for folder in sorted({posixpath.dirname(path) for path in scene.changed}):
        for name in names_in(scene.tree, folder):
            if NAMES.fullmatch(name):
                yield posixpath.join(folder, name)


def _was_there(scene: Scene, path: str) -> bool:
    return scene.before is not None and find_node(scene.before.tree, path) is not None


def _size_of(tree: Tree, path: str) -> int:
    try:
        return len(tree.read(path, SMALL))
    except MissingFile:
        return 0
    except UNREADABLE:
        return SMALL
