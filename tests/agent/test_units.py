"""The units for systemd are such as systemd takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from regild.cli.front import app

UNITS = Path(__file__).parents[2] / "docs" / "deploy"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.glob("regild-*"):
        text = unit.read_text().replace("/usr/bin/regild ", "/bin/true ")
        (tmp_path / unit.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 3
    line = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_start_commands_that_there_are() -> None:
    commands = get_command(app).commands["agent"].commands["run"]  # type: ignore[attr-defined]
    known = {option for one in commands.params for option in one.opts}
    for unit in UNITS.glob("*.service"):
        (line,) = re.findall(r"^ExecStart=/usr/bin/regild agent run (.*)$", unit.read_text(), re.M)
        assert {word for word in line.split() if word.startswith("--")} <= known
