"""What is decided among the packages that images reach is what is decided among all on offer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import TooLarge
from regild.feeds.apt import refresh
from regild.feeds.policy import SitePolicy, with_options
from regild.model.content import Content, TextFile
from regild.model.digest import sha256_of
from regild.model.plan import Mode
from regild.model.progress import Silent
from regild.model.release import IndexFile
from regild.plan.debian.answer import answer, open_shelf
from regild.plan.debian.near import NearShelf, keep_near, nothing_of, read_near
from regild.plan.debian.shelf import Shelf
from regild.plan.debian.stated import Stated
from regild.plan.solver import Request
from tests.feeds.repositories import NOW, Deb, Suite, content_of, publish
from tests.plan.test_plain import MODES, images, some, told
from tests.plan.test_worlds import MAIN, SECURITY, URI

SUGGESTING = (TextFile("/etc/apt/apt.conf", 'APT::Install-Suggests "true";\n'),)


def asked(folder: Path, content: Content, *debs: Deb, safe: tuple[Deb, ...] = ()) -> Request:
    """A question about an image, with a repository of some packages and a security suite."""
    publish(folder / "mirror", Suite(debs))
    publish(folder / "mirror", Suite(safe, "stable-security", label="Debian-Security"))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={folder / 'mirror'}",))
    indexes = refresh(content, policy, folder / "cache", NOW, Silent()).indexes
    return Request(content.planning, indexes, "upgrade")


def shelf_of(request: Request) -> Shelf:
    """Where a question is decided by a process that begins with it."""
    return open_shelf(request).shelf_for(request)


def names_kept(request: Request) -> set[str]:
    """The names that are near by what is kept."""
    return set(read_near(request.indexes, request.planning.architectures).names)


def moved(request: Request) -> list[str]:
    """What a question is answered with."""
    return [f"{one.name} {one.becomes}" for one in answer(open_shelf(request), request).moves]


def kept(folder: Path) -> Path:
    """The one file of what images reach."""
    (found,) = (folder / "cache").rglob("*.near")
    return found


@pytest.mark.parametrize("seed", range(20))
def test_near_is_as_good_as_all(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    old, new, safe = some(dice, 1), some(dice, 2), some(dice, 3)[:8]
    contents = images(dice, old)
    first = asked(tmp_path, contents[0], *old, *new, safe=tuple(safe))
    requests = [
        replace(first, planning=content.planning, mode=mode, autoremove=dice.random() < 0.3)
        for content in contents
        for mode in MODES
    ]
    once = [told(open_shelf(request), request) for request in requests]
    assert all(isinstance(shelf_of(request), NearShelf) for request in requests)
    assert [told(open_shelf(request), request) for request in requests] == once
    monkeypatch.setattr("regild.plan.debian.answer.GROWTHS_LIMIT", -1)
    monkeypatch.setattr("regild.plan.debian.answer.read_near", lambda found, _: nothing_of(found))
    assert not any(isinstance(shelf_of(request), NearShelf) for request in requests)
    assert [told(open_shelf(request), request) for request in requests] == once


def test_what_is_near_grows_with_an_image_that_asks_for_more(tmp_path: Path) -> None:
    offers = [Deb("a", "2", fields={"Depends": "b"}), Deb("b"), Deb("x", "2"), Deb("far")]
    one = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    other = asked(tmp_path, content_of([Deb("x")], (MAIN, SECURITY)), *offers)
    assert moved(one) == ["a 2", "b 1.0"] and names_kept(one) == {"a", "b"}
    assert moved(other) == ["x 2"] and names_kept(one) == {"a", "b", "x"}
    assert moved(one) == ["a 2", "b 1.0"] and names_kept(one) == {"a", "b", "x"}


def test_images_too_unlike_are_decided_among_all(tmp_path: Path) -> None:
    offers = [Deb(name, "2") for name in "abcdefgh"]
    requests = [
        asked(tmp_path, content_of([Deb(name)], (MAIN, SECURITY)), *offers) for name in "abcdefgh"
    ]
    shelves = open_shelf(requests[0])
    found = [[one.name for one in answer(shelves, request).moves] for request in requests]
    assert found == [[name] for name in "abcdefgh"]
    assert not isinstance(shelves.shelf_for(requests[0]), NearShelf)
    assert names_kept(requests[0]) == {"a", "b", "c"}


def test_a_stanza_may_ask_for_what_no_package_on_offer_asks_for(tmp_path: Path) -> None:
    offers = [Deb("a", "2"), Deb("b"), Deb("c")]
    plain = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    assert moved(plain) == ["a 2"] and names_kept(plain) == {"a"}
    needing = content_of([Deb("a", fields={"Recommends": "c"})], (MAIN, SECURITY))
    assert moved(replace(plain, planning=needing.planning)) == ["a 2"]
    assert names_kept(plain) == {"a", "c"}


def test_what_provides_a_name_is_near(tmp_path: Path) -> None:
    offers = [
        Deb("a", "2", fields={"Depends": "virtual (>= 1) | none"}),
        Deb("p", fields={"Provides": "other, virtual (= 2)", "Depends": "q:any"}),
        Deb("q", fields={"Multi-Arch": "allowed"}),
        Deb("far", fields={"Provides": "another"}),
    ]
    request = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    assert moved(request) == moved(request) == ["a 2", "p 1.0", "q 1.0"]
    assert names_kept(request) == {"a", "none", "p", "q", "virtual"}


@pytest.mark.parametrize("mode", ["upgrade", "full"])
def test_needs_are_met_in_the_order_in_which_they_are_stated(tmp_path: Path, mode: Mode) -> None:
    offers = [
        Deb("a", "2", fields={"Depends": "x | y, y"}),
        Deb("b", "2", fields={"Depends": "v, u | v"}),
        *map(Deb, "uvxy"),
    ]
    for name, wanted in (("a", ["a 2", "x 1.0", "y 1.0"]), ("b", ["b 2", "v 1.0"])):
        image = asked(tmp_path / name, content_of([Deb(name)], (MAIN, SECURITY)), *offers)
        request = replace(image, mode=mode)
        assert moved(request) == moved(request) == wanted


def test_an_image_whose_apt_installs_what_is_suggested_is_decided_among_all(tmp_path: Path) -> None:
    offers = [Deb("a", "2", fields={"Suggests": "far"}), Deb("far")]
    quiet = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    assert moved(quiet) == ["a 2"] and isinstance(shelf_of(quiet), NearShelf)
    eager = replace(quiet, planning=replace(quiet.planning, settings=SUGGESTING))
    assert moved(eager) == ["a 2", "far 1.0"] and not isinstance(shelf_of(eager), NearShelf)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_what_is_kept_and_damaged_is_found_again(tmp_path: Path, damage: str) -> None:
    request = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), Deb("a", "2"))
    assert moved(request) == ["a 2"]
    content = kept(tmp_path).read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        kept(tmp_path).unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        bad = {"cut": content[:-1], "flipped": flipped, "empty": b""}[damage]
        kept(tmp_path).write_bytes(bad)
    assert names_kept(request) == set()
    assert moved(request) == ["a 2"]
    assert names_kept(request) == {"a"}


@pytest.mark.parametrize("form", [(b"of another libsolv", b""), (b"",)])
def test_what_is_kept_in_another_form_is_found_again(
    tmp_path: Path, form: tuple[bytes, ...]
) -> None:
    request = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), Deb("a", "2"))
    near = replace(nothing_of(request.indexes), names=("a",), repositories=form)
    keep_near(near, request.indexes, request.planning.architectures)
    assert kept(tmp_path).exists()
    assert moved(request) == ["a 2"]
    assert isinstance(shelf_of(request), NearShelf) and names_kept(request) == {"a"}


def test_without_anything_on_offer_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert moved(Request(content_of([Deb("a")], ()).planning, (), "upgrade")) == []
    assert list(tmp_path.iterdir()) == []


def test_too_many_names_are_not_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regild.plan.debian.near.NAMES_LIMIT", 2)
    offers = [Deb("a", "2"), Deb("x", "2", fields={"Depends": "y, z"}), Deb("y"), Deb("z")]
    wide = asked(tmp_path, content_of([Deb("x")], (MAIN, SECURITY)), *offers)
    assert moved(wide) == ["x 2", "y 1.0", "z 1.0"]
    assert names_kept(wide) == set() and not isinstance(shelf_of(wide), NearShelf)
    small = replace(wide, planning=content_of([Deb("a")], (MAIN, SECURITY)).planning)
    assert moved(small) == ["a 2"] and names_kept(small) == {"a"}
    assert moved(wide) == ["x 2", "y 1.0", "z 1.0"] and names_kept(small) == {"a"}


INDEX = """PACKAGE: first
version: 1
Architecture: all

Package: second
Provides: virtual,
 more (= 2)
Version: 2
Architecture: amd64
Description: a long
 Package: no-field

Package:third
Architecture: amd64
Version: 3
Provides:	more"""


def index_of(folder: Path, text: str) -> Stated:
    """What an index states."""
    path = folder / "Packages"
    path.write_text(text)
    return Stated(IndexFile(str(path), sha256_of(text.encode()), "an index"))


def test_entries_are_found_by_what_they_have_and_provide(tmp_path: Path) -> None:
    stated = index_of(tmp_path, INDEX)
    found = {
        name: [fields["version"] for _, fields in stated.entries(name)]
        for name in ("first", "second", "third", "virtual", "more", "no-field", "")
    }
    assert found == {
        "first": ["1"],
        "second": ["2"],
        "third": ["3"],
        "virtual": ["2"],
        "more": ["2", "3"],
        "no-field": [],
        "": [],
    }
    assert [begin for name in ("first", "third") for begin, _ in stated.entries(name)] == [
        0,
        INDEX.index("Package:third"),
    ]
    assert not list(index_of(tmp_path, "").entries("first"))


def test_an_entry_that_says_a_name_often_is_found_once(tmp_path: Path) -> None:
    often = "Package: a\nVersion: 1\n" + "Provides: v\n" * 1000
    stated = index_of(tmp_path, f"{often}\n{often}\n\n{often}")
    assert [begin for begin, _ in stated.entries("v")] == [
        begin for begin, _ in stated.entries("a")
    ]
    assert len(list(stated.entries("v"))) == 3


@pytest.mark.parametrize("before", [True, False])
def test_an_entry_without_an_end_is_refused(
    tmp_path: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regild.plan.debian.stated.STANZA_LIMIT", 1000)
    long = "X: y\n" * 400
    text = f"A: b\n\n{long}Package: a\n" if before else f"A: b\n\nPackage: a\n{long}"
    with pytest.raises(TooLarge):
        list(index_of(tmp_path, text).entries("a"))
