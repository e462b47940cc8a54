"""Whole trips with recipes and commands, on a real Debian guest: a vendor's application put in,
brought up to date, and tested; what goes where it must not is refused."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.model.receipt import Receipt
from regild.prove.receipt import read_receipt
from tests.cli.conftest import Said, regild
from tests.cli.schemas import valid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Regild = Callable[..., Said]

__all__ = ["regild"]

GUIDE = Path(__file__).parents[2] / "docs/guide/recipes.md"
NAME = 'name = "acme-agent"'

INSTALL = "mkdir -p /opt/acme/bin; echo 1.0 >/opt/acme/VERSION; {more}"
AGENT = b'#!/bin/sh\necho "agent $(cat /opt/acme/VERSION)"\n'


def archive(path: Path, version: str) -> bytes:
    """The vendor's tarball of a version, and its content."""
    with tarfile.open(path, "w:gz") as tar:
        for name, mode, content in (
            ("VERSION", 0o644, f"{version}\n".encode()),
            ("bin/agent", 0o755, AGENT),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def recipe(folder: Path) -> Path:
    """The recipe of the guide's worked example, with its newest version beside it."""
    content = archive(folder / "acme-agent-2.0.tgz", "2.0")
    (example,) = [
        one for one in re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.S) if NAME in one
    ]
    example = example.replace("0" * 64, hashlib.sha256(content).hexdigest())
    path = folder / "acme-agent.recipe.toml"
    path.write_text(example.replace("48213", str(len(content))))
    return path


def receipt(image: Path) -> Receipt:
    path = image.with_name(f"{image.stem}.receipt.json")
    return read_receipt(path.read_bytes(), path.name).statement.predicate


def test_an_application_is_put_in_brought_up_to_date_and_tested(
    regild: Regild, small_ova: Path, tmp_path: Path
) -> None:
    before = hashlib.sha256(small_ova.read_bytes()).digest()
    first, second = tmp_path / "first.ova", tmp_path / "second.ova"
    line = ["run", small_ova, "-o", first, "--scratch", tmp_path / "jobs", "--changes", "/opt/acme"]
    said = regild(*line, "--json", "--", "sh", "-c", INSTALL.format(more="true"))
    assert said.code == 0, said.err
    valid("run", said.json)
    told = receipt(first).errands[0]
    assert told.commands == (("sh", "-c", INSTALL.format(more="true")),)
    assert (told.changes, told.recipe, told.origin) == (("/opt/acme",), None, "command line")

    more = ["--scratch", tmp_path / "jobs", "--recipe", recipe(tmp_path)]
    said = regild("run", first, "-o", second, *more, "--json")
    assert said.code == 0, said.err
    (step,) = valid("run", said.json)["upgraded"]
    assert (step["name"], step["from"], step["to"]) == ("acme-agent", "1.0", "2.0")
    assert any("applications described again" in one for one in receipt(second).checks)
    assert any("every test of the recipes" in one for one in receipt(second).checks)
    found, *_ = regild("describe", second, *more[2:], "--json").json["applications"]
    assert (found["name"], found["version"]) == ("acme-agent", "2.0")
    assert regild("verify", second).code == 0
    assert hashlib.sha256(small_ova.read_bytes()).digest() == before
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("echo x >/etc/acme.conf", "nothing accounts for 1 changed paths: /etc/acme.conf"),
        ("echo regild >>/etc/hosts", "/etc/hosts"),
        ("exit 3", "it ended with 3"),
    ],
)
def test_a_command_that_goes_where_it_must_not_changes_nothing(
    regild: Regild, small_ova: Path, tmp_path: Path, more: str, says: str
) -> None:
    out = tmp_path / "out.ova"
    line = ["run", small_ova, "-o", out, "--scratch", tmp_path / "jobs", "--changes", "/opt/acme"]
    said = regild(*line, "--json", "--", "sh", "-c", INSTALL.format(more=more))
    assert said.code == 8, said.err
    assert says in said.json["error"]["sentence"]
    assert not out.exists()
