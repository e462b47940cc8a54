import re
import subprocess
import sys

import pytest

from regild import __version__
from regild.cli.front import run
from regild.cli.lazy import ROWS, load

HELP = "from regild.cli.main import main; main()"
COMMANDS = [name for name, row in ROWS.items() if not hasattr(load(row), "commands")]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"regild {__version__}\n"


def test_an_empty_command_line_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: regild")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_the_options_of_all(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "--debug" in text


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", HELP, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    heavy = {"rich", "httpx", "msgspec", "pysequoia", "fs_explorer", "deflate", "xml", "lxml"}
    assert not heavy & loaded
    rooms = {name for name in loaded if re.fullmatch(r"regild\.\w+", name)}
    assert rooms <= {"regild.cli", "regild.errors"}


def test_help_is_quick() -> None:
    measured = (
        "import resource, subprocess, sys\n"
        f"argv = [sys.executable, '-c', {HELP!r}, '--help']\n"
        "subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    spent = min(float(subprocess.check_output([sys.executable, "-c", measured])) for _ in range(3))
    assert spent < 0.2
