"""Commands that are loaded when somebody asks for them.

Loading all of them costs more processor time than many of them take to answer (0.1 s of
0.3 s, measured on Python 3.11), and `regild --help` needs only their names.
"""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from regild.cli.directory import SECTIONS, Row

ROWS = {row.name: row for rows in SECTIONS.values() for row in rows}


def load(row: Row) -> Any:
    """The command of a row, ready to be run."""
    written = getattr(import_module(f"regild.cli.commands.{row.file}"), row.attribute)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.callback()(_do_nothing)  # so that one command is a group's too, and keeps its name
    if isinstance(written, typer.Typer):
        alone.add_typer(written, name=row.name)
    else:
        alone.command(row.name)(written)
    whole = cast(TyperGroup, get_command(alone))
    return whole.commands[row.name]


class _Commands(UserDict[str, Any]):
    """Commands by name; a row turns into its command at the first look."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, Row):
            found = self.data[name] = load(found)
        return found


class LazyGroup(TyperGroup):
    """The front door's group: it knows every command's name, and loads the one that is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(ROWS)

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List them in the sections of the directory."""
        width = max(map(len, ROWS))
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(row.name.ljust(width), row.summary) for row in rows])


def _do_nothing() -> None:
    """What typer runs before a command of the group."""
