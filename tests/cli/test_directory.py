"""The directory of commands holds all of them, in words that fit on a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.cli.directory import SECTIONS
from regild.cli.lazy import ROWS, load

FOLDER = Path(__file__).parents[2] / "src/regild/cli/commands"


@pytest.mark.parametrize("name", ROWS)
def test_each_row_leads_to_a_command_with_help(name: str) -> None:
    command = load(ROWS[name])
    assert command.name == name
    assert command.help


def test_each_file_of_commands_is_in_it_and_no_name_is_twice() -> None:
    rows = [row for rows in SECTIONS.values() for row in rows]
    assert {row.file for row in rows} == {path.stem for path in FOLDER.glob("[!_]*.py")}
    assert len({row.name for row in rows}) == len({(row.file, row.attribute) for row in rows})
    assert len(rows) == len(ROWS)


def test_each_summary_fits_beside_the_longest_name() -> None:
    assert max(len(row.summary) for row in ROWS.values()) <= 65
