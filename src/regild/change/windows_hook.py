r"""What has a Windows start a run at its next start, put into its registry in place, and the check
that nothing of it is left.

`SYSTEM\Setup` holds what Winlogon runs, as LocalSystem, before anybody can log on: `CmdLine`, where
`SetupType` is 2. Both stand in every Windows. The run takes that back before it does anything else.
Source: Microsoft KB 939857 (CmdLine, SetupType); docs/adr/0088.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from regild.change.hive import HiveFile, Patch, Value, patched
from regild.errors import HookLeft, RunImpossible

SYSTEM: Final = "/Windows/System32/config/SYSTEM"
HIVE_BYTES_MAX: Final = 256 << 20
KEY: Final = "Setup"
TYPE, COMMAND, PROGRESS = "SetupType", "CmdLine", "SystemSetupInProgress"
OURS: Final = "Regild"
"""How the names of values begin that a run notes its own progress in."""
BEFORE_LOGON: Final = 2
"""Run the command, then go on to the logon."""
STARTER: Final = "REGILD.CMD"
LETTERS: Final = "D E F G H I J K L M N O P Q R S T U V W X Y Z"
LINE: Final = f"cmd /c for %i in ({LETTERS}) do if exist %i:\\{STARTER} call %i:\\{STARTER}"
"""Which letter a drive with a CD gets is Windows' own affair."""


@dataclass(frozen=True, slots=True)
class Hook:
    """What becomes of the registry's file, and what stood there before."""

    patches: tuple[Patch, ...]
    command: str
    """The text of `CmdLine` as it was."""


def make_hook(content: bytes, where: str = SYSTEM) -> Hook:
    """What makes a Windows start the run once.

    Raises: RunImpossible where its own setup is to run, or its registry has no place for it;
    Malformed.
    """
    hive = HiveFile(content, where)
    values = _setup(hive)
    type, command = values.get(TYPE.lower()), values.get(COMMAND.lower())
    if type is None or command is None:
        raise RunImpossible(where=where, why=f"it has no {KEY}\\{TYPE} and {KEY}\\{COMMAND}")
    under_way = values.get(PROGRESS.lower())
    if type.number or (under_way is not None and under_way.number):
        why = "its own setup runs at the next start (an image that sysprep has generalized)"
        raise RunImpossible(where=where, why=why)
    patches = (*hive.set_text(command, LINE), *hive.set_number(type, BEFORE_LOGON))
    changed = _setup(HiveFile(patched(content, patches), where))
    if changed[COMMAND.lower()].text != LINE or changed[TYPE.lower()].number != BEFORE_LOGON:
        raise RunImpossible(where=where, why="what was put into it does not read back")
    return Hook(patches, command.text)


def check_unhooked(content: bytes, command: str, where: str = SYSTEM) -> None:
    """Pass where a Windows starts as it did before the run.

    Raises: HookLeft; Malformed.
    """
    values = _setup(HiveFile(content, where))
    for name in values:
        if name.startswith(OURS.lower()):
            raise HookLeft(where=where, why=f"{KEY}\\{name} still stands there")
    type, now = values.get(TYPE.lower()), values.get(COMMAND.lower())
    if type is None or type.number:
        raise HookLeft(where=where, why=f"{KEY}\\{TYPE} is not 0 again")
    if now is None or now.text != command:
        raise HookLeft(where=where, why=f"{KEY}\\{COMMAND} is not as it was")


def _setup(hive: HiveFile) -> dict[str, Value]:
    """The values of the key.

    Raises: RunImpossible where there is no such key; Malformed.
    """
    values = hive.values(KEY)
    if values is None:
        raise RunImpossible(where=hive.where, why=f"it has no key {KEY}")
    return values
