"""Commands in name spaces of their own, where an ordinary user is root over a range of ids.

One way for root and for an ordinary user: inside, id 0 is never the machine's root. An ordinary
user's range comes from /etc/subuid and /etc/subgid through newuidmap; root takes a range that
nothing else on the machine owns. Everything inside ends when regild ends (PR_SET_PDEATHSIG, and
a pid name space whose first process takes all others down with it).
Source: user_namespaces(7), newuidmap(1), subuid(5).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from regild.errors import NotPermitted
from regild.host import enter
from regild.host.run import ENVIRONMENT, end_group, find_tool, run

log = logging.getLogger("regild.run")

ROOT_FIRST_ID = 0x70000000
"""First id of the range that root lends to guests: above every range that useradd gives out
(SUB_UID_MAX 600100000, login.defs(5)) and below 2^31, which some filesystems cannot store."""
ROOT_IDS = 0x01000000

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Top folders that are links into /usr on a merged system."""


class IdMap(msgspec.Struct, frozen=True):
    """Which outside ids stand behind the inside ids: rows of (inside, outside, count)."""

    users: tuple[tuple[int, int, int], ...]
    groups: tuple[tuple[int, int, int], ...]

    @property
    def owner(self) -> tuple[int, int]:
        """The outside user and group id of the inside root."""
        return self.users[0][1], self.groups[0][1]


class View(msgspec.Struct, frozen=True):
    """What a command inside sees of the machine besides its programs."""

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    def rows(self) -> dict[str, object]:
        """The view as `enter` reads it, with the machine's programs and this Python added."""
        links = [[f"/{name}", str(Path("/", name).readlink())] for name in MERGED if _is_link(name)]
        folders = [f"/{name}" for name in MERGED if not _is_link(name) and _is_folder(name)]
        shown = [Path("/usr"), *map(Path, folders), *_interpreter(), *self.readable]
        binds = [[str(path), str(path), False] for path in _outermost(shown)]
        binds += [[str(path), str(path), True] for path in self.writable]
        return {"binds": binds, "links": links}


def find_id_map() -> IdMap:
    """The id map that the calling user may use.

    Raises: ToolMissing, NotPermitted when the user has no range in /etc/subuid or /etc/subgid.
    """
    if os.geteuid() == 0:
        whole = ((0, ROOT_FIRST_ID, ROOT_IDS),)
        return IdMap(whole, whole)
    find_tool("newuidmap", "to give an ordinary user a range of ids")
    user = pwd.getpwuid(os.geteuid()).pw_name
    return IdMap(
        _with_ranges(os.geteuid(), _read_ranges(Path("/etc/subuid"), user)),
        _with_ranges(os.getegid(), _read_ranges(Path("/etc/subgid"), user)),
    )


@contextlib.contextmanager
def open_namespace(
    argv: Sequence[str | Path],
    ids: IdMap,
    view: View,
    *,
    errors: IO[bytes],
    keep: Sequence[int] = (),
    memory_bytes: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command as root of new name spaces; it is ended, with all it started, on leaving.

    Standard input and output are pipes, standard error goes to `errors`; the file descriptors in
    `keep` stay open under their numbers. No process gets more address space than `memory_bytes`.
    The exit status is the command's, 128 and a signal's number, or `enter.NOT_ALLOWED`.

    Raises: NotPermitted when the kernel or its settings forbid user name spaces.
    """
    ready_in, ready_out = os.pipe()
    go_in, go_out = os.pipe()
    program = [sys.executable, "-I", enter.__file__, str(ready_out), str(go_in)]
    line = [*program, json.dumps({**view.rows(), "memory": memory_bytes}), *map(str, argv)]
    log.debug("%s", shlex.join(map(str, argv)))
    process = subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=ENVIRONMENT,
        pass_fds=(ready_out, go_in, *keep),
        start_new_session=True,
    )
    os.close(ready_out)
    os.close(go_in)
    try:
        _let_in(process, ids, ready_in, go_out)
        yield process
    finally:
        end_group(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _let_in(process: subprocess.Popen[bytes], ids: IdMap, ready: int, go: int) -> None:
    """Write the id map once the command is in its name space, then let it go on."""
    try:
        if os.read(ready, 1) != b"1":
            raise NotPermitted(
                where="user name spaces",
                why="the kernel refused; see user.max_user_namespaces and "
                "kernel.unprivileged_userns_clone in sysctl",
            )
        _write_map(process.pid, ids)
        os.write(go, b"1")
    finally:
        os.close(ready)
        os.close(go)


def _write_map(pid: int, ids: IdMap) -> None:
    """Give the new user name space its ids: directly as root, through newuidmap otherwise."""
    for name, rows in (("uid", ids.users), ("gid", ids.groups)):
        if os.geteuid() == 0:
            text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in rows)
            Path(f"/proc/{pid}/{name}_map").write_text(text)
        else:
            numbers = [str(number) for row in rows for number in row]
            run([f"new{name}map", str(pid), *numbers], purpose="to map an ordinary user's ids")


def _read_ranges(path: Path, user: str) -> list[tuple[int, int]]:
    """A user's (first, count) ranges in /etc/subuid or /etc/subgid (subuid(5))."""
    ranges = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            name, _, rest = line.partition(":")
            first, _, count = rest.partition(":")
            if name in (user, str(os.geteuid())) and first.isdigit() and count.isdigit():
                ranges.append((int(first), int(count)))
    if not ranges:
        raise NotPermitted(
            where="a range of ids for guests",
            why=f"{path} has no line for {user}; root can add one with usermod --add-subuids",
        )
    return ranges


def _with_ranges(own: int, ranges: list[tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Inside 0 is the user; 1 and on are the user's ranges, one after another."""
    rows, inside = [(0, own, 1)], 1
    for first, count in ranges:
        rows.append((inside, first, count))
        inside += count
    return tuple(rows)


def _interpreter() -> list[Path]:
    """The folders that this Python and regild itself run from."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(enter.__file__).parents[2]}
    return sorted({path.resolve() for path in found} | found)


def _outermost(paths: list[Path]) -> list[Path]:
    """Folders without those that lie inside another of them."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _is_link(name: str) -> bool:
    return Path("/", name).is_symlink()


def _is_folder(name: str) -> bool:
    return Path("/", name).is_dir()
