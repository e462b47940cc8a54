"""The directory of commands holds all of them, in words that fit on a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from regild.cli.directory import SECTIONS
from regild.cli.lazy import ROWS, load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "src/regild/cli/commands"


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


@pytest.mark.parametrize("name", ROWS)
def test_what_is_written_is_named_by_one_option_everywhere(name: str) -> None:
    for command in (load(ROWS[name]), *inside(load(ROWS[name])).values()):
        for option in command.params:
            if "-o" in option.opts:
                assert "--output" in option.opts, command.name


PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md")
WRITTEN = re.compile(r"(?:^    |`|\$ )regild ([a-z][^`#|;]*?)(?:   |`|$| \|)", re.MULTILINE)


def test_what_documents_tell_to_type_can_be_typed() -> None:
    typed = [(page.name, line) for page in PAGES for line in WRITTEN.findall(page.read_text())]
    assert len(typed) > 100
    assert [f"{page}: regild {line}" for page, line in typed if not can_be_typed(line)] == []
    for wrong in ("publsh x", "image list --jsn", "group aply web.toml"):
        assert not can_be_typed(wrong)


def can_be_typed(line: str) -> bool:
    """Whether a line begins with a command's name, and the options in it are its own."""
    first, *rest = line.partition(" -- ")[0].replace(",", " ").split()
    if first not in ROWS:
        return False
    command = load(ROWS[first])
    while rest and rest[0] in inside(command):
        command = inside(command)[rest.pop(0)]
    if inside(command):
        return not rest
    own = {"--help"} | {
        one for each in command.params for one in (*each.opts, *each.secondary_opts)
    }
    return own.issuperset(one for one in rest if re.fullmatch(r"--?[a-z-]+", one))


def inside(command: Any) -> dict[str, Any]:
    """The commands of a group by name; of one that is none, nothing."""
    return getattr(command, "commands", {})
