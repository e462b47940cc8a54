"""`regild prove`: what is whole is said to be, what is not is named, and what was not asked too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]
WHOLE = {
    **golden.GUEST,
    "/var/lib/dpkg/info/libssl3.list": "/usr/lib/libssl.so.3\n",
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
}


def states(answer: Any) -> dict[str, str]:
    (system,) = valid("prove", answer)["systems"]
    return {one["check"]: one["state"] for one in system["checks"]}


def test_a_whole_guest_ends_well_and_what_was_not_asked_is_named(
    regild: Regild, tmp_path: Path
) -> None:
    disk = golden.filesystem(tmp_path, WHOLE)
    said = regild("prove", disk, "--scratch", tmp_path / "jobs", "--json")
    assert said.code == 0, said.err
    found = states(said.json)
    assert set(found.values()) == {"held", "left out"}
    assert found["accounts"] == found["lists"] == "held"
    assert found["packages"] == found["identity"] == "left out"
    assert not list((tmp_path / "jobs").iterdir())


def test_what_is_not_whole_ends_with_9_and_is_named(regild: Regild, tmp_path: Path) -> None:
    files = {**WHOLE, "/etc/passwd": "root::0:0::/:/bin/sh\n", "/usr/bin/zip.dpkg-new": ""}
    del files["/var/lib/dpkg/info/openssl.list"]
    disk = golden.filesystem(tmp_path, files)
    said = regild("prove", disk, "--scratch", tmp_path / "jobs", "--json")
    assert said.code == 9
    found = states(said.json)
    assert [one for one, state in found.items() if state == "broken"] == [
        "lists",
        "accounts",
        "leftovers",
    ]
    text = regild("prove", disk, "--scratch", tmp_path / "jobs")
    assert "/usr/bin/zip.dpkg-new" in text.out
    assert "leftovers" in text.err
