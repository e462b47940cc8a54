"""Whether the guest's accounts are as they were, but for what packages may add.

A package may add system accounts that nobody can log in to, and members to groups. It may not set
a password, take one away, make a second root, or let others read what passwords are kept in.
Source: passwd(5), shadow(5), group(5), gshadow(5); Debian Policy 9.2 (user and group numbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from regild.image.tree import Tree
from regild.model.plan import Difference
from regild.prove.scene import Scene, find_content, find_node

PASSWD, SHADOW, GROUP, GSHADOW = "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"
FIELDS: Mapping[str, int] = {PASSWD: 7, SHADOW: 9, GROUP: 4, GSHADOW: 4}
BYTES_MAX = 16 << 20
SYSTEM_IDS = (*range(1, 1000), *range(60000, 65000), 65534)
"""What packages take numbers from (Policy 9.2.2)."""
FIXED: Mapping[str, tuple[int, ...]] = {
    PASSWD: (1, 2, 3),
    SHADOW: (1,),
    GROUP: (1, 2),
    GSHADOW: (1,),
}
"""The fields that no package changes of what is there: password and numbers."""

Rows = dict[str, list[str]]


def check_accounts(scene: Scene) -> Iterator[Difference]:
    """What is wrong with the guest's accounts, or changed without right."""
    for path in FIELDS:
        rows, faults = _read(scene.tree, path)
        yield from faults
        yield from _open_to_others(scene, path)
        if path == PASSWD:
            yield from _second_roots(scene, rows)
        if path in (PASSWD, SHADOW):
            yield from _without_password(scene, path, rows)
        if scene.before is not None:
            before, _ = _read(scene.before.tree, path)
            yield from _compared(path, before, rows)


def _read(tree: Tree, path: str) -> tuple[Rows, list[Difference]]:
    """The rows of a file by name, and the lines that are none."""
    rows: Rows = {}
    faults = []
    content = find_content(tree, path, BYTES_MAX) or b""
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        parts = line.split(":")
        if line.startswith(("+", "-")):  # entries of NIS (nsswitch.conf(5), compat)
            continue
        if len(parts) != FIELDS[path] or not parts[0] or parts[0] in rows:
            faults.append(Difference(f"{path}:{number}", "one account in a line", "another line"))
        else:
            rows[parts[0]] = parts[1:]
    return rows, faults


def _open_to_others(scene: Scene, path: str) -> Iterator[Difference]:
    """Passwords that all may read, and account files that all may write."""
    node = find_node(scene.tree, path)
    if node is None:
        if scene.before is not None and find_node(scene.before.tree, path) is not None:
            yield Difference(path, "as before", "absent")
        return
    refused = 0o027 if path in (SHADOW, GSHADOW) else 0o022
    if node.kind != "file" or node.mode & refused:
        yield Difference(path, f"a file without {refused:04o}", f"{node.kind} {node.mode:04o}")
    if node.owner is not None and node.owner[0] != 0:
        yield Difference(path, "owner 0", f"owner {node.owner[0]}")


def _second_roots(scene: Scene, rows: Rows) -> Iterator[Difference]:
    was = _read(scene.before.tree, PASSWD)[0] if scene.before else {}
    for name, row in rows.items():
        if row[1].strip().lstrip("0") == "" and name != "root" and name not in was:
            yield Difference(f"{PASSWD}: {name}", "not root's number", f"number {row[1]}")


def _without_password(scene: Scene, path: str, rows: Rows) -> Iterator[Difference]:
    was = _read(scene.before.tree, path)[0] if scene.before else {}
    for name, row in rows.items():
        if row[0] == "" and was.get(name, ["x"])[0] != "":
            yield Difference(f"{path}: {name}", "a password, or none that fits", "an empty one")


def _compared(path: str, before: Rows, rows: Rows) -> Iterator[Difference]:
    """What became of the rows that were there, and what was added."""
    for name, was in before.items():
        row = rows.get(name)
        if row is None:
            yield Difference(f"{path}: {name}", "as before", "absent")
            continue
        for field in FIXED[path]:
            if field - 1 < len(row) and row[field - 1] != was[field - 1]:
                yield Difference(f"{path}: {name}", f"field {field + 1} as before", "another")
        if path == PASSWD and row[-1] != was[-1] and not _is_closed(row[-1]):
            yield Difference(f"{path}: {name}", f"shell {was[-1]}", f"shell {row[-1]}")
        if path == GROUP and (gone := set(was[-1].split(",")) - set(row[-1].split(",")) - {""}):
            yield Difference(f"{path}: {name}", f"with {', '.join(sorted(gone))}", "without")
    for name in rows.keys() - before.keys():
        yield from _added(path, name, rows[name])


def _added(path: str, name: str, row: list[str]) -> Iterator[Difference]:
    """An account that a package brought: of the system, and closed."""
    what = f"{path}: {name}"
    if path in (SHADOW, GSHADOW) and not row[0].startswith(("!", "*")):
        yield Difference(what, "a new account without a password", "one with a password")
    if path in (PASSWD, GROUP):
        if row[0] not in ("x", "*", "!"):
            yield Difference(what, "its password elsewhere", "a password in this file")
        if not re.fullmatch(r"[0-9]{1,9}", row[1]) or int(row[1]) not in SYSTEM_IDS:
            yield Difference(what, "a number of the system's", f"number {row[1]}")


def _is_closed(shell: str) -> bool:
    return shell.endswith(("/nologin", "/false"))
