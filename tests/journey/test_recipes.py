"""Whole trips with recipes and commands, on a real Debian guest: a vendor's application put in,
brought up to date, and tested; what goes where it must not is refused."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.model.receipt import Receipt
from regild.prove.receipt import read_receipt
from tests.cli.conftest import Said, regild
from tests.cli.schemas import valid
from tests.feeds.wheels import build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Regild = Callable[..., Said]

__all__ = ["regild"]

GUIDE = Path(__file__).parents[2] / "docs/guide/recipes.md"
MAKE = """\
[recipe]
name = "make-web"
[test]
commands = ["/opt/web/bin/python -m pip --version"]
[update]
packages = true
changes = ["/opt/web"]
commands = [
  "python3 -m venv --without-pip /opt/web",
  '''/opt/web/bin/python "$REGILD_FILES/{pip}/pip" install --no-index --no-cache-dir \\
  --find-links "$REGILD_FILES" pip acme==1.0''',
]
"""
WEB = """\
[recipe]
name = "web"
[pip]
environment = "/opt/web"
index = "wheels"
packages = ["acme"]
[test]
commands = ['/opt/web/bin/python -c "import acme, acme_lib; assert acme.VERSION == str(2.0)"']
"""
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


@pytest.mark.timeout(1200)
def test_an_environment_of_python_is_made_and_brought_up_to_date(
    regild: Regild, demo_ova: Path, tmp_path: Path
) -> None:
    """By the guest's own Python, and a real pip in it, offline."""
    pip = next(iter(sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))), None)
    if pip is None:
        pytest.skip("no wheel of pip on this machine: install the package python3-venv")
    wheels = tmp_path / "wheels"
    old = build_wheel(wheels, "acme", "1.0")
    build_wheel(wheels, "acme", "2.0", "acme-lib>=2")
    build_wheel(wheels, "acme-lib", "2.1")
    shutil.copyfile(pip, wheels / pip.name)
    make, web = tmp_path / "make.recipe.toml", tmp_path / "web.recipe.toml"
    listed = "".join(
        "[[update.files]]\n"
        f'name = "{one.name}"\nuri = "wheels/{one.name}"\nbytes = {one.stat().st_size}\n'
        f'sha256 = "{hashlib.sha256(one.read_bytes()).hexdigest()}"\n'
        for one in (wheels / pip.name, old)
    )
    make.write_text(MAKE.format(pip=pip.name) + listed)
    web.write_text(WEB)
    first, second = tmp_path / "first.ova", tmp_path / "second.ova"
    more = ["--scratch", tmp_path / "jobs", "--json"]
    said = regild("run", demo_ova, "-o", first, "--recipe", make, *more)
    assert said.code == 0, said.err
    seen = {one.name: one.becomes for one in receipt(first).packages}
    assert seen["acme"] == "1.0"

    said = regild("run", first, "-o", second, "--recipe", web, *more)
    assert said.code == 0, said.err
    steps = valid("run", said.json)["upgraded"]
    assert [(one["name"], one["from"], one["to"]) for one in steps] == [
        ("acme", "1.0", "2.0"),
        ("acme-lib", "", "2.1"),
    ]
    assert all(one["archive"]["digest"].startswith("sha256:") for one in steps)
    said = regild("run", second, "-o", tmp_path / "third.ova", "--recipe", web, *more)
    assert (said.code, said.json["output"]) == (0, None)


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
