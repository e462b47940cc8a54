"""The files of a package as rpm's header lists them, and its scripts (RPM Package Manager
documentation, "RPM V4 package format" and rpmtag.h)."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from regild.errors import Malformed
from regild.model.record import Kind
from regild.model.rpm_header import Header, Tags

SIZES, MODES, DIGESTS, TARGETS, FLAGS, USERS, GROUPS = 1028, 1030, 1035, 1036, 1037, 1039, 1040
STATES, VERIFIED, DIRECTORY_INDEXES, NAMES, DIRECTORIES = 1029, 1045, 1116, 1117, 1118
LONG_SIZES, CAPABILITIES, ALGORITHM = 5008, 5010, 5011
SCRIPTS: Final = (1023, 1024, 1025, 1026, 1151, 1152, 5104, 5105)
"""The scripts of installing and removing, and of whole transactions."""
TRIGGERS: Final = (1065, 5066, 5076)
"""Scripts that run for other packages: of packages, of files, of the files of a transaction."""
ALGORITHMS: Final = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}
"""OpenPGP's numbers (RFC 9580, 9.5); without one it is MD5."""
KINDS: Final[dict[int, Kind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
}
_CONFIG, _MISSING_OK, _GHOST = 1, 8, 64
_Value = TypeVar("_Value")
_HERE: Final = (0, 1)
"""States in which a file of the database is there: normal, and replaced by another package's."""


class Verified(NamedTuple):
    """Which of a file's attributes the package wants to be as it has them."""

    content: bool
    owner: bool
    group: bool
    mode: bool
    target: bool


@dataclass(frozen=True, slots=True)
class RpmFile:
    """One path of a package."""

    path: str
    kind: Kind
    mode: int
    """Permission bits with setuid, setgid and sticky (07777)."""
    bytes: int
    digest: str
    """In hexadecimal digits; empty for what holds no content."""
    algorithm: str
    target: str
    user: str
    group: str
    capabilities: str
    is_config: bool
    is_ghost: bool
    """The package owns it and does not bring it."""
    may_miss: bool
    is_here: bool
    """Whether the database says that it was installed; always so in a package file."""
    verified: Verified


@dataclass(frozen=True, slots=True)
class RpmPackage:
    """One package by its header."""

    tags: Tags
    where: str

    @property
    def identity(self) -> Header:
        """Which package it is.

        Raises: Malformed.
        """
        return self.tags.identity

    @property
    def scripts(self) -> str:
        """The text of its own scripts.

        Raises: Malformed.
        """
        return "\n".join(text for tag in SCRIPTS for text in self.tags.texts(tag))

    @property
    def triggers(self) -> str:
        """The text of the scripts that it runs for others.

        Raises: Malformed.
        """
        return "\n".join(text for tag in TRIGGERS for text in self.tags.texts(tag))

    def paths(self) -> list[str]:
        """Its paths.

        Raises: Malformed.
        """
        tags, where = self.tags, self.where
        indexes, names = tags.numbers(DIRECTORY_INDEXES), tags.texts(NAMES)
        folders = tags.texts(DIRECTORIES)
        if len(indexes) != len(names) or any(one >= len(folders) for one in indexes):
            raise Malformed(where=where, why="its list of files does not fit together")
        return [folders[index] + name for index, name in zip(indexes, names, strict=True)]

    def files(self) -> Iterator[RpmFile]:
        """Its paths with all that the header says of them.

        Raises: Malformed.
        """
        tags, paths = self.tags, self.paths()
        count = len(paths)
        sizes = _column(tags.numbers(SIZES) or tags.numbers(LONG_SIZES), count, 0)
        modes = _column(tags.numbers(MODES), count, 0)
        flags = _column(tags.numbers(FLAGS), count, 0)
        states = _column(tags.numbers(STATES), count, 0)
        verified = _column(tags.numbers(VERIFIED), count, 0xFFFFFFFF)
        algorithm = ALGORITHMS.get((*tags.numbers(ALGORITHM), 1)[0], "")
        columns = (DIGESTS, TARGETS, USERS, GROUPS, CAPABILITIES)
        texts = [_column(tags.texts(tag), count, "") for tag in columns]
        for number, path in enumerate(paths):
            digest, target, user, group, capabilities = (column[number] for column in texts)
            flag = flags[number]
            yield RpmFile(
                path=path,
                kind=KINDS.get(stat.S_IFMT(modes[number]), "file"),
                mode=stat.S_IMODE(modes[number]),
                bytes=sizes[number],
                digest=digest.lower(),
                algorithm=algorithm,
                target=target,
                user=user,
                group=group,
                capabilities=capabilities,
                is_config=bool(flag & _CONFIG),
                is_ghost=bool(flag & _GHOST),
                may_miss=bool(flag & _MISSING_OK),
                is_here=states[number] in _HERE,
                verified=_verified(verified[number]),
            )


def _column(found: Sequence[_Value], count: int, default: _Value) -> Sequence[_Value]:
    """One value for each file; the default where the header has no such column, or a short one."""
    return found if len(found) >= count else [*found, *([default] * (count - len(found)))]


def _verified(bits: int) -> Verified:
    """rpmvf.h: RPMVERIFY_FILEDIGEST, _USER, _GROUP, _MODE, _LINKTO."""
    return Verified(
        bool(bits & 1), bool(bits & 8), bool(bits & 16), bool(bits & 64), bool(bits & 4)
    )
