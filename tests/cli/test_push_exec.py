"""A place of the site's own, behind a command that a person wrote from the guide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]

COMMAND = """\
#!/bin/sh
set -eu
place={place}
mkdir -p "$place"
case $1 in
push) cp -r "$2/." "$place/"; echo "{{\\"where\\": \\"$place\\"}}" ;;
names) echo '[{{"name": "root.raw"}}]' ;;
pull) cp "$place/$2" "$3/"; echo "[\\"$2\\"]" ;;
esac
"""


@pytest.fixture
def command(tmp_path: Path, regild: Regild, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command, beside a store with one generation."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    for name in ("web", "back"):
        regild("image", "add", name)
    assert regild("publish", golden.filesystem(tmp_path), "--image", "web").code == 0
    path = tmp_path / "command"
    path.write_text(COMMAND.format(place=tmp_path / "place"))
    path.chmod(0o755)
    return path


def test_what_a_command_copies_as_it_is_comes_back(
    regild: Regild, command: Path, tmp_path: Path
) -> None:
    told = ("--scratch", tmp_path)
    said = valid("push", regild("push", "web@1", f"exec://{command}", *told, "--json").json)
    assert said["where"] == str(tmp_path / "place")
    pushed = tmp_path / "place" / "root.raw"
    assert not pushed.is_symlink()
    assert pushed.read_bytes() == (tmp_path / "root.raw").read_bytes()
    (file,) = json.loads((tmp_path / "place" / "label.json").read_text())["files"]
    back = regild("import", f"exec://{command}", "root.raw", "--image", "back", *told, "--json")
    assert back.json["generation"]["digest"] == file["digest"]


def test_a_command_that_fails_or_is_not_there_is_named(
    regild: Regild, command: Path, tmp_path: Path
) -> None:
    line = ("--image", "back", "--scratch", tmp_path)
    failed = regild("import", f"exec://{command}", "none.raw", *line)
    assert failed.code == 13
    assert f"{command} pull failed: {command} ended with 1: " in failed.err
    absent = regild("import", f"exec://{tmp_path}/absent", "none.raw", *line)
    assert absent.code == 13
    assert "is no program that can be run" in absent.err
    assert "install" not in absent.err
