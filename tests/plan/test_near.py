"""What is decided among the packages that images reach is what is decided among all on offer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.feeds.apt import refresh
from regild.feeds.policy import SitePolicy, with_options
from regild.model.content import Content, TextFile
from regild.model.progress import Silent
from regild.plan.debian.answer import answer, open_shelf
from regild.plan.debian.near import NearShelf, near_shelf
from regild.plan.debian.relations import parts_of, relation_of
from regild.plan.debian.shelf import Shelf
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


def is_near(request: Request) -> bool:
    """Whether a question is decided among what images reach."""
    return isinstance(open_shelf(request).shelf_for(request), NearShelf)


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
    assert all(map(is_near, requests))
    assert [told(open_shelf(request), request) for request in requests] == once
    monkeypatch.setattr("regild.plan.debian.answer.near_shelf", lambda *_: None)
    assert [told(open_shelf(request), request) for request in requests] == once


def test_an_image_that_asks_for_more_is_decided_among_all_and_its_names_are_kept(
    tmp_path: Path,
) -> None:
    offers = [Deb("a", "2", fields={"Depends": "b"}), Deb("b"), Deb("x", "2"), Deb("far")]
    one = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    other = asked(tmp_path, content_of([Deb("x")], (MAIN, SECURITY)), *offers)
    assert not is_near(one) and is_near(one)
    near = near_shelf(one.indexes, ("amd64",))
    assert near is not None and {"a", "b"} <= near.asked and "far" not in near.asked
    assert moved(other) == ["x 2"] and is_near(other) and is_near(one)
    assert moved(one) == ["a 2", "b 1.0"]


def test_a_stanza_may_ask_for_what_no_package_on_offer_asks_for(tmp_path: Path) -> None:
    offers = [Deb("a", "2"), Deb("b"), Deb("c")]
    plain = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    assert moved(plain) == ["a 2"] and is_near(plain)
    needing = content_of([Deb("a", fields={"Recommends": "c"})], (MAIN, SECURITY))
    assert not is_near(replace(plain, planning=needing.planning))


def test_what_provides_a_name_is_near(tmp_path: Path) -> None:
    offers = [
        Deb("a", "2", fields={"Depends": "virtual"}),
        Deb("p", fields={"Provides": "virtual", "Depends": "q"}),
        Deb("q"),
        Deb("far"),
    ]
    request = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    first = moved(request)
    assert is_near(request) and moved(request) == first == ["a 2", "p 1.0", "q 1.0"]
    near = near_shelf(request.indexes, ("amd64",))
    assert near is not None and {"p", "q"} <= set(near.names) and "far" not in near.names


def test_an_image_whose_apt_installs_what_is_suggested_is_decided_among_all(tmp_path: Path) -> None:
    offers = [Deb("a", "2", fields={"Suggests": "far"}), Deb("far")]
    quiet = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), *offers)
    assert moved(quiet) == ["a 2"] and is_near(quiet)
    eager = replace(quiet, planning=replace(quiet.planning, settings=SUGGESTING))
    assert not is_near(eager) and moved(eager) == ["a 2", "far 1.0"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_what_is_kept_and_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    request = asked(tmp_path, content_of([Deb("a")], (MAIN, SECURITY)), Deb("a", "2"))
    assert moved(request) == ["a 2"]
    content = kept(tmp_path).read_bytes()
    middle = len(content) // 2
    kept(tmp_path).write_bytes({
        "cut": content[:-1],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
        "gone": b"",
    }[damage])  # fmt: skip
    if damage == "gone":
        kept(tmp_path).unlink()
    assert near_shelf(request.indexes, ("amd64",)) is None
    assert moved(request) == ["a 2"]
    assert kept(tmp_path).read_bytes() == content


def test_too_many_names_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regild.plan.debian.near.NAMES_LIMIT", 3)
    offers = [Deb("a", "2"), Deb("x", "2", fields={"Depends": "y, z"}), Deb("y"), Deb("z")]
    wide = asked(tmp_path, content_of([Deb("x")], (MAIN, SECURITY)), *offers)
    assert moved(wide) == ["x 2", "y 1.0", "z 1.0"]
    assert not is_near(wide)
    small = replace(wide, planning=content_of([Deb("a")], (MAIN, SECURITY)).planning)
    assert moved(small) == ["a 2"] and is_near(small)


def test_a_relation_is_the_same_in_another_pool() -> None:
    import solv

    clauses = ["a", "a | b (>= 1:2~x) | c", "a:any (<< 3) | d", "e (= 1) | f", "g:i386 | h"]
    shelf, pool = Shelf((), ("amd64", "i386")), solv.Pool()
    other = Shelf((), ("amd64", "i386"))
    for clause in clauses:
        text = shelf.pool.dep2str(shelf.words.wanted(clause, "amd64"))
        assert pool.dep2str(relation_of(pool, parts_of(text))) == text
        wanted = other.words.wanted(clause, "amd64")
        assert relation_of(other.pool, parts_of(text)) == wanted
