"""Where a result may be put: nothing gives way to it but an older result of its own kind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from regild.errors import InputError, NotPermitted, PublishError, TargetExists
from regild.ovf.archive import open_appliance

CONSOLE_SUFFIX, SCREEN_SUFFIX = ".console.log", ".screen.png"
"""What a test boot leaves: what the guest said, and its screen."""
RUN_LOG_SUFFIX, RUN_SCREEN_SUFFIX = ".run.log", ".run.png"
"""What a run in a booted Windows leaves: what it reported, and its screen at the end."""
BOOTED_SUFFIX = ".booted.log"
"""What a guest said that was booted for its changes."""
BESIDE_SUFFIXES = (
    ".receipt.json",
    ".vex.json",
    ".cdx.json",
    ".spdx.json",
    CONSOLE_SUFFIX,
    SCREEN_SUFFIX,
    RUN_LOG_SUFFIX,
    RUN_SCREEN_SUFFIX,
    BOOTED_SUFFIX,
)
"""What regild itself writes beside the files of a package: receipts, bills of materials, and what a
boot left."""


def check_parent(path: Path) -> None:
    """The folder of a result is there and can be written to.

    Raises: PublishError, NotPermitted.
    """
    parent = path.parent
    if path.name in ("", ".."):
        raise PublishError(where=str(path), why="it is no name for a new file or folder")
    if not parent.is_dir():
        raise PublishError(where=str(path), why="its folder does not exist")
    if not os.access(parent, os.W_OK | os.X_OK):
        why = "the folder cannot be written to"
        raise NotPermitted(where=f"access to {parent}", why=why)


def check_file_place(path: Path) -> None:
    """Nothing but a file gives way to a file, or a symlink to one.

    Raises: PublishError.
    """
    if path.is_dir():
        raise PublishError(where=str(path), why="it is a folder, and a file would be written")
    if path.exists() and not path.is_symlink() and not path.is_file():
        raise PublishError(where=str(path), why="it is no plain file, and only such is replaced")


def check_folder_place(path: Path, replace: bool) -> None:
    """A folder gives way, when that is said, only where it holds nothing but a package.

    Raises: TargetExists, PublishError.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise PublishError(where=str(path), why="it is a file, and a folder would be written")
    held = list(path.iterdir())
    if held and not replace:
        raise TargetExists(where=str(path), why="it is not an empty folder")
    if held and not _is_package(path, held):
        why = "the folder holds more than a package, and would be replaced with all that is in it"
        raise PublishError(where=str(path), why=why)


def _is_package(path: Path, held: list[Path]) -> bool:
    """Whether a folder's files are those of one package, and none is anybody else's."""
    try:
        with open_appliance(path, complete=False) as appliance:
            known = set(appliance.members)
    except InputError:
        return False
    return all(
        stat.S_ISREG(one.lstat().st_mode)
        and (one.name in known or one.name.endswith(BESIDE_SUFFIXES))
        for one in held
    )
