"""What is decided without libsolv is what libsolv decides, also for one image after another."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from regild.errors import Unsolvable
from regild.feeds.apt import refresh
from regild.feeds.policy import SitePolicy, with_options
from regild.model.content import Content, TextFile
from regild.model.progress import Silent
from regild.plan.debian import answer as answering
from regild.plan.debian.answer import Shelves, answer, open_shelf
from regild.plan.debian.seen import seen_for
from regild.plan.solver import Request, Transaction
from tests.feeds.repositories import NOW, Deb, Suite, content_of, publish
from tests.plan.test_worlds import MAIN, SECURITY, URI

NAMES = [f"p{number:02}" for number in range(30)]
MODES = ("upgrade", "full", "security")
PINS = (
    (),
    (TextFile("/x", "Package: p0* p1*\nPin: release l=Debian-Security\nPin-Priority: 50\n"),),
    (TextFile("/x", "Package: src:p03\nPin: version 1*\nPin-Priority: 990\n"),),
)


def some(dice: random.Random, version: int) -> list[Deb]:
    """Packages with relations; few enough that most of them can be had together."""
    found = []
    for place, name in enumerate(NAMES):
        fields: dict[str, str] = {"Priority": dice.choice(["important", "optional"])}
        after = NAMES[place + 1 :]
        if after and dice.random() < 0.5:
            one, other = dice.choice(after), dice.choice(after)
            fields["Depends"] = dice.choice(
                [one, f"{one} (>= {version})", f"{one} | {other}", f"virtual, {other}"]
            )
        if after and dice.random() < 0.2:
            fields["Recommends"] = dice.choice(after)
        if after and dice.random() < 0.1:
            fields["Breaks"] = f"{dice.choice(after)} (<< {version})"
        if dice.random() < 0.15 or name in NAMES[-2:]:
            fields["Provides"] = dice.choice(["virtual", f"virtual (= {version})"])
        if version > 2 and dice.random() < 0.05:
            fields["Conflicts"] = dice.choice([one for one in NAMES if one != name])
        found.append(Deb(name, str(version), fields=fields))
    return found


def images(dice: random.Random, debs: Sequence[Deb]) -> list[Content]:
    """Images with most of the packages, each with others held, pinned and come for others."""
    found = []
    needs = {one.name: re.findall(r"p\d\d", one.fields.get("Depends", "")) for one in debs}
    for _ in range(6):
        names = {*dice.sample(NAMES, dice.randint(5, 20)), *NAMES[-2:]}
        for name in NAMES:  # they depend on later ones only
            names.update(needs[name] if name in names else ())
        found.append(
            content_of(
                [one for one in debs if one.name in names],
                (MAIN, SECURITY),
                holds=tuple(dice.sample(NAMES, dice.choice([0, 0, 1]))),
                auto=tuple(dice.sample(NAMES, 5)),
                preferences=dice.choice(PINS),
            )
        )
    return found


def told(shelves: Shelves, request: Request) -> Transaction | str:
    try:
        return answer(shelves, request)
    except Unsolvable as error:
        return error.why


@pytest.mark.parametrize("seed", range(12))
def test_the_plain_case_is_decided_as_libsolv_decides(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    old, new, safe = some(dice, 1), some(dice, 2), some(dice, 3)[:8]
    publish(tmp_path / "mirror", Suite([*old, *new]))
    publish(tmp_path / "mirror", Suite(safe, "stable-security", label="Debian-Security"))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={tmp_path / 'mirror'}",))
    contents = images(dice, old)
    indexes = refresh(contents[0], policy, tmp_path / "cache", NOW, Silent()).indexes
    requests = [
        Request(content.planning, indexes, mode, autoremove=dice.random() < 0.2)  # type: ignore[arg-type]  # a mode
        for content in contents
        for mode in MODES
    ]
    shelves = open_shelf(requests[0])
    mixed = [told(shelves, request) for request in requests]
    assert any(isinstance(one, Transaction) and one.moves for one in mixed)
    assert [told(shelves, request) for request in requests] == mixed
    monkeypatch.setattr(answering, "seat_among", lambda *_: None)
    assert [told(open_shelf(request), request) for request in requests] == mixed


def test_a_plain_case_needs_no_libsolv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "mirror", Suite([Deb("a", "2", fields={"Depends": "new"}), Deb("new")]))
    publish(tmp_path / "mirror", Suite([], "stable-security"))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={tmp_path / 'mirror'}",))
    content = content_of([Deb("a"), Deb("b")], (MAIN, SECURITY))
    available = refresh(content, policy, tmp_path / "cache", NOW, Silent())
    request = Request(content.planning, available.indexes, "upgrade")
    monkeypatch.setattr(answering, "seat", None)
    found = answer(open_shelf(request), request)
    assert [(one.name, one.was, one.becomes) for one in found.moves] == [
        ("a", "1.0", "2"),
        ("new", "", "1.0"),
    ]


def test_what_was_seen_of_images_is_forgotten_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path / "mirror", Suite([Deb("a", "9")]))
    publish(tmp_path / "mirror", Suite([], "stable-security"))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={tmp_path / 'mirror'}",))
    monkeypatch.setattr("regild.plan.debian.seen.STANZAS_LIMIT", 5)
    content = content_of([Deb("a")], (MAIN, SECURITY))
    available = refresh(content, policy, tmp_path / "cache", NOW, Silent())
    shelves = open_shelf(Request(content.planning, available.indexes, "upgrade"))
    for number in range(20):
        image = content_of([Deb("a", f"1.{number}"), Deb("b", f"{number}")], (MAIN, SECURITY))
        request = Request(image.planning, available.indexes, "upgrade")
        found = answer(shelves, request)
        assert [(one.name, one.was, one.becomes) for one in found.moves] == [
            ("a", f"1.{number}", "9")
        ]
        assert len(seen_for(shelves.shelf_for(request)).shelf.seen_ids) <= 6
