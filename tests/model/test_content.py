"""The content's state names what a plan depends on, and nothing else; every value survives JSON."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from regild.errors import Malformed
from regild.model.answers import ANSWERS
from regild.model.content import (
    Application,
    Content,
    Keyring,
    Package,
    Planning,
    Platform,
    Source,
    Unknown,
    Witness,
)
from regild.model.digest import Digest, canonical
from regild.model.json import from_json, schema_of, to_json

CONTENT = Content(
    platform=Platform(family="linux", id="debian", version="12.5"),
    packages=(Package(type="deb", name="dpkg", version="1.21", arch="amd64"),),
    sources=(Source(type="apt", uri="http://mirror.example/d", suite="s", components=("main",)),),
    planning=Planning(type="deb", status="Package: dpkg\n", keyrings=(Keyring("/k", b"\x99\0"),)),
)


def test_what_a_plan_depends_on_changes_the_state() -> None:
    others = (
        replace(CONTENT, platform=replace(CONTENT.platform, version="12.6")),
        replace(CONTENT, packages=()),
        replace(CONTENT, sources=()),
        replace(CONTENT, planning=replace(CONTENT.planning, auto=("dpkg:amd64",))),
    )
    assert len({CONTENT.state, *(one.state for one in others)}) == 5


def test_what_a_plan_does_not_depend_on_leaves_the_state() -> None:
    other = replace(
        CONTENT,
        witnesses=(Witness("UUID=1", "/etc/os-release", Digest("sha256:00"), 1),),
        applications=(Application("a", "1", "/opt/a"),),
        unknowns=(Unknown("/srv", "encrypted"),),
    )
    assert other.state == CONTENT.state


def test_a_content_survives_json() -> None:
    assert from_json(Content, to_json(CONTENT)) == CONTENT
    assert from_json(Content, canonical(CONTENT)).state == CONTENT.state


@pytest.mark.parametrize("text", ["{", "[]", '{"platform": 1}', '{"platform": {}, "packages": {}}'])
def test_json_that_does_not_fit_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        from_json(Content, text)


@pytest.mark.parametrize("kind", ANSWERS.values(), ids=list(ANSWERS))
def test_every_answer_has_a_schema(kind: type) -> None:
    assert schema_of(kind)["$schema"].endswith("2020-12/schema")
