"""The one walk over the parts of a guest that no distribution's package owns.

What a distribution ships is known from its package database, and its own folders hold most of a
guest's files; going through them would cost more than all else together. So the walk begins below
/usr/local, /opt, /srv, /home, /root, /var/www and whatever else stands beside the usual folders of
the root. Symlinks are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.model.content import Unknown

OWNED = frozenset(
    {
        *("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "lost+found", "media"),
        *("mnt", "opt", "proc", "run", "sbin", "sys", "tmp", "usr", "var", "efi"),
        *("Windows", "$Recycle.Bin", "System Volume Information", "Recovery"),
        *("System", "Volumes", "cores", "private"),
    }
)
"""Folders of the root that belong to the system; what of them is walked is in `FURTHER`."""
FURTHER = (
    "/usr/local",
    "/usr/lib/node_modules",
    "/var/lib/gems",
    "/var/opt",
    "/var/www",
)
PASSED_OVER = frozenset({"__pycache__", ".git", ".svn", ".hg", ".cache", ".snapshot"})
FOLDERS_MAX = 100_000
NAMES_MAX = 2_000_000
"""In all folders together."""
DEPTH_MAX = 40


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the walk: its path, and the names of its folders and files."""

    path: str
    folders: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rpartition("/")[2]


def walk(evidence: Evidence, unowned: Sequence[str], unknowns: list[Unknown]) -> Iterator[Folder]:
    """Every folder of the walk, parents first; `unowned` are those of /opt that are nobody's.

    What cannot be listed, and what is too much or too deep, is added to `unknowns`.
    """
    todo = [(path, 0) for path in reversed((*FURTHER, *unowned, *_tops(evidence, unknowns)))]
    count = names = 0
    while todo:
        path, depth = todo.pop()
        count += 1
        if count > FOLDERS_MAX or names > NAMES_MAX:
            much = f"{FOLDERS_MAX} folders or {NAMES_MAX} names"
            why = f"there are over {much}; language packages in others are not known"
            unknowns.append(Unknown(path, why))
            return
        try:
            entries = evidence.entries(path)
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        names += len(entries)
        inner = tuple(name for name, kind in entries if kind == "directory")
        yield Folder(path, inner, tuple(name for name, kind in entries if kind == "file"))
        if depth >= DEPTH_MAX and inner:
            unknowns.append(Unknown(path, f"it is over {DEPTH_MAX} folders deep"))
            continue
        todo += [(f"{path}/{one}", depth + 1) for one in reversed(inner) if _is_entered(one)]


def _is_entered(name: str) -> bool:
    # What npm and Python put into a folder is read by their readers, from the folder above.
    closed = name == "node_modules" or name.endswith((".dist-info", ".egg-info"))
    return not closed and name not in PASSED_OVER and name.isprintable()


def _tops(evidence: Evidence, unknowns: list[Unknown]) -> list[str]:
    try:
        return [
            f"/{name}"
            for name, kind in evidence.entries("/")
            if kind == "directory" and name not in OWNED and name.isprintable()
        ]
    except Unreadable as error:
        unknowns.append(unknown(error, "/"))
        return []
