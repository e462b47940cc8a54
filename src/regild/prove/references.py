"""Whether what names files names files that are there: alternatives, units, the linker's cache.

What pointed nowhere before the change is not held against it.
Source: update-alternatives(1), systemd.unit(5), ld.so(8) and glibc's dl-cache.h.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from regild.image.tree import Guest
from regild.model.plan import Difference
from regild.prove.scene import Scene, find_content, find_node, names_in, walk

ALTERNATIVES = "/etc/alternatives"
UNITS = "/etc/systemd/system"
LINKS = ("/etc/rc0.d", "/etc/rc2.d", "/etc/rc5.d", "/etc/rc6.d", "/etc/rcS.d")
CACHE = "/etc/ld.so.cache"
MUSL = "ld-musl-"
"""The linker of musl keeps no cache, though a program that is called ldconfig comes with it."""
CACHE_BYTES_MAX = 64 << 20
CACHE_MAGIC = b"glibc-ld.so.cache1.1"
LINKS_MAX = 40

_LIBRARY = re.compile(rb"(/[\x21-\x7e]{1,1000})\0")


def check_links(scene: Scene) -> Iterator[Difference]:
    """Alternatives, enabled units and start links that lead nowhere."""
    for path, target in _links(scene.guest):
        if _leads(scene.guest, path) or (scene.before and not _led_before(scene.before, path)):
            continue
        yield Difference(path, f"a link that leads to {target}", "nothing there")


def check_linker(scene: Scene) -> Iterator[Difference]:
    """Libraries in the linker's cache that are not there, and libraries that it should name."""
    content = find_content(scene.tree, CACHE, CACHE_BYTES_MAX)
    had = scene.before is None or find_node(scene.before.tree, CACHE) is not None
    if content is None:
        with_cache = not any(name.startswith(MUSL) for name in names_in(scene.tree, "/lib"))
        if had and with_cache and find_node(scene.tree, "/sbin/ldconfig") is not None:
            yield Difference(CACHE, "the linker's cache", "absent")
        return
    if CACHE_MAGIC not in content:
        yield Difference(CACHE, "a cache that glibc reads", "something else")
        return
    listed = {one[1].decode(errors="replace") for one in _LIBRARY.finditer(content)}
    for path in sorted(listed):
        if not _leads(scene.guest, path):
            yield Difference(f"{CACHE}: {path}", "a library", "nothing there")
    yield from _unlisted(scene, listed)


def _unlisted(scene: Scene, listed: set[str]) -> Iterator[Difference]:
    """Links to libraries that the plan's packages brought into folders that the cache knows."""
    folders = {posixpath.dirname(path) for path in listed}
    names = {posixpath.basename(path) for path in listed}
    for package in scene.shipped or ():
        for one in package.paths:
            folder, name = posixpath.split(one.path)
            is_library = one.kind == "symlink" and re.fullmatch(r"lib[^/]+\.so\.[0-9.]+", name)
            if is_library and folder in folders and name not in names:
                yield Difference(f"{CACHE}: {one.path}", "named", "not named")


def _links(guest: Guest) -> Iterator[tuple[str, str]]:
    places = [f"{ALTERNATIVES}/{name}" for name in names_in(guest.tree, ALTERNATIVES)]
    places += [f"{folder}/{name}" for folder in LINKS for name in names_in(guest.tree, folder)]
    places += [path for path, _ in walk(guest.tree, UNITS, 20_000)]
    for path in places:
        node = find_node(guest.tree, path)
        if node is not None and node.kind == "symlink":
            yield path, node.target


def _leads(guest: Guest, path: str) -> bool:
    """Whether a path, all links followed, is something; /dev/null and templates count."""
    for _ in range(LINKS_MAX):
        node = find_node(guest.tree, path)
        if node is None:
            return _is_elsewhere(guest, path)
        if node.kind != "symlink":
            return True
        path = posixpath.join(posixpath.dirname(path), node.target)
    return False


def _is_elsewhere(guest: Guest, path: str) -> bool:
    """What is there only on a running machine, or what an instance of a template stands for."""
    if posixpath.normpath(path).startswith(("/dev/", "/run/", "/proc/", "/sys/")):
        return True
    folder, name = posixpath.split(path)
    template = re.sub(r"@[^.]*\.", "@.", name)
    return template != name and find_node(guest.tree, f"{folder}/{template}") is not None


def _led_before(before: Guest, path: str) -> bool:
    return find_node(before.tree, path) is None or _leads(before, path)
