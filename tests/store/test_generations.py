from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import NotListed, Pinned, Revoked, UsageError
from regild.model.content import Content
from regild.model.generation import Generation, Reference, Retention, read_reference
from regild.store import Catalogue, Reading, open_catalogue
from regild.store.channels import (
    add_channel,
    find_channel,
    history_of,
    list_channels,
    pin_channel,
    promote,
    roll_back,
)
from regild.store.documents import read_document
from regild.store.events import list_events
from regild.store.generations import (
    NewGeneration,
    add_generation,
    find_generation,
    list_generations,
    pin_generation,
    resolve,
)
from regild.store.images import add_image, list_images, set_retention
from regild.store.revocation import restore, revoke
from tests.store.samples import DAY, add, content_of, file_of, grow, later


@pytest.mark.parametrize("text", ["web@7", "web@production", "web", "a.b-c_d@1"])
def test_a_reference_is_written_as_it_was_read(text: str) -> None:
    assert str(read_reference(text)) == text


@pytest.mark.parametrize(
    "text", ["", "web@", "Web", "web@0", "web@-1", "7", "a@b@c", "../x", "w@01"]
)
def test_what_names_no_generation_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_reference(text)


def test_generations_are_numbered_in_their_line_and_know_their_parent(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 3)
    grow(catalogue, "db", 1)
    with catalogue.reading() as view:
        assert [one.name for one in list_generations(view)] == ["db@1", "web@1", "web@2", "web@3"]
        found = find_generation(view, "web", 3)
    assert (found.parent, found.created, found.actor) == ("web@2", DAY, "tests")
    assert found.digest == found.files[0].digest


def test_publishing_the_same_again_is_the_generation_that_is_there(catalogue: Catalogue) -> None:
    (made,) = grow(catalogue, "web", 1)
    with catalogue.writing("tests") as change:
        assert add(change, "web", ("web", 1)) == made


def test_the_content_of_a_generation_comes_back_whole(catalogue: Catalogue) -> None:
    held = content_of(("libssl3", "3.0.20-1~deb12u2"), ("odd\udcff name", "1"))
    with catalogue.writing("tests", DAY) as change:
        add_image(change, "web")
        made = add(change, "web", 1, content=held)
    with catalogue.reading() as view:
        assert made.content is not None
        assert read_document(view, made.content, Content) == held


def test_several_files_are_one_generation_with_a_digest_of_its_own(catalogue: Catalogue) -> None:
    parts = (file_of(1, "web.ovf"), file_of(2, "web.mf"), file_of(3, "web-disk1.vmdk"))
    with catalogue.writing("tests", DAY) as change:
        add_image(change, "web")
        made = add_generation(change, NewGeneration("web", "folder", parts))
    assert made.files == parts
    assert made.digest not in [one.digest for one in parts]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("db@1", "no image has this name"),
        ("web@9", "no generation of this number"),
        ("web@canary", "points at nothing"),
        ("new", "has no generation yet"),
    ],
)
def test_what_is_not_there_is_said_by_name(catalogue: Catalogue, text: str, why: str) -> None:
    grow(catalogue, "web", 1)
    grow(catalogue, "new", 0)
    with pytest.raises(NotListed, match=why), catalogue.reading() as view:
        resolve(view, read_reference(text))


def test_a_channel_moves_forward_and_back_and_remembers(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 3)
    with catalogue.writing("anna", later(days=1)) as change:
        promote(change, Reference("web", "1"), "production")
        promote(change, Reference("web", "3"), "production", "three is good")
        assert resolve(change, Reference("web", "production")).number == 3
        assert roll_back(change, "web", "production", why="it was not").number == 1
        told = [
            (one.number, one.kind, one.actor) for one in history_of(change, "web", "production")
        ]
    assert told == [(1, "promote", "anna"), (3, "promote", "anna"), (1, "rollback", "anna")]
    with catalogue.writing("anna") as change, pytest.raises(NotListed, match="never pointed"):
        roll_back(change, "web", "production")


def test_channels_are_the_sites_own_and_keep_their_order(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 1)
    with catalogue.writing("tests") as change:
        add_channel(change, "web", "archive")
        assert [one.name for one in list_channels(change, "web")] == [
            *("dev", "canary", "production", "archive")
        ]
    with catalogue.writing("tests") as change, pytest.raises(NotListed, match="dev, canary, pro"):
        promote(change, Reference("web", "1"), "prod")


def test_a_pinned_channel_stays(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 2)
    with catalogue.writing("tests") as change:
        promote(change, Reference("web", "1"), "dev")
        assert pin_channel(change, "web", "dev", True).pinned
    with catalogue.writing("tests") as change, pytest.raises(Pinned, match="stays at web@1"):
        promote(change, Reference("web", "2"), "dev")
    with catalogue.writing("tests") as change:
        pin_channel(change, "web", "dev", False)
        assert promote(change, Reference("web", "2"), "dev").number == 2


def _revoked(view: Reading) -> list[Generation]:
    """What must not be used at the view's moment."""
    return [one for one in list_generations(view) if one.is_revoked(view.now)]


def test_a_revocation_is_inherited_by_all_that_descends_also_in_other_lines(
    catalogue: Catalogue,
) -> None:
    grow(catalogue, "base", 2)
    with catalogue.writing("tests", DAY) as change:
        add_image(change, "web")
        add(change, "web", 1, "base@1")
        add(change, "web", 2, "web@1")
        add(change, "web", 3, "base@2")
        add(change, "web", 4)
        revoke(change, Reference("web", "1"), later(days=1), "CVE-2026-1")
        revoke(change, Reference("base", "2"), DAY, "CVE-2026-2")
    with catalogue.reading(DAY) as view:
        assert [one.name for one in _revoked(view)] == ["base@2", "web@3"]
    with catalogue.reading(later(days=2)) as view:
        due = {one.name: one.revocation for one in _revoked(view)}
    assert sorted(due) == ["base@2", "web@1", "web@2", "web@3"]
    assert due["web@2"] is not None
    assert (due["web@2"].generation, due["web@2"].why) == ("web@1", "CVE-2026-1")


def test_a_revoked_generation_is_no_target_and_a_scheduled_one_is_until_then(
    catalogue: Catalogue,
) -> None:
    grow(catalogue, "web", 3)
    with catalogue.writing("tests", DAY) as change:
        revoke(change, Reference("web", "2"), later(days=30), "CVE-2026-1")
        promote(change, Reference("web", "2"), "dev")
        promote(change, Reference("web", "3"), "dev")
    with catalogue.writing("tests", later(days=31)) as change:
        with pytest.raises(Revoked, match=r"CVE-2026-1, inherited from web@2 \(since 2026-12-01"):
            promote(change, Reference("web", "3"), "canary")
        with pytest.raises(Revoked):
            roll_back(change, "web", "dev", to=2)
        with pytest.raises(NotListed):
            roll_back(change, "web", "dev")
        with pytest.raises(Revoked):
            add(change, "web", "child", "web@3")
        assert find_channel(change, "web", "dev").number == 3


def test_a_revocation_is_taken_back_where_it_was_made(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 2)
    with catalogue.writing("tests", DAY) as change:
        revoke(change, Reference("web", "1"), DAY, "wrong")
        with pytest.raises(NotListed, match="inherits that of web@1"):
            restore(change, Reference("web", "2"), "")
        restore(change, Reference("web", "1"), "it was not wrong")
        assert _revoked(change) == []
        kinds = [one.kind for one in list_events(change, subject="web@1")]
    assert kinds == ["generation.add", "generation.revoke", "generation.restore"]


def test_pins_and_retention_are_kept(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 1)
    with catalogue.writing("tests") as change:
        assert pin_generation(change, Reference("web", "1"), True).pinned
        set_retention(change, "web", Retention(3, 90))
        assert list_images(change)[0].retention == Retention(3, 90)


@settings(max_examples=30, deadline=None)
@given(
    parents=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    revoked=st.dictionaries(st.integers(0, 29), st.integers(-3, 3), max_size=4),
)
def test_a_generation_is_revoked_exactly_when_its_chain_of_parents_holds_a_revoked_one(
    parents: list[int], revoked: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("lineage") / "c.sqlite"
    chain: dict[int, int] = {}
    with open_catalogue(place) as catalogue, catalogue.writing("tests", DAY) as change:
        add_image(change, "web")
        for number, wanted in enumerate(parents, 1):
            chain[number] = wanted if wanted < number else 0
            add(change, "web", number, f"web@{chain[number]}" if chain[number] else "")
        moments: dict[int, datetime] = {}
        for number, days in revoked.items():
            if 0 < number <= len(parents):
                moments[number] = later(days=days)
                revoke(change, Reference("web", str(number)), later(days=days), "test")
        found = {one.number: one.is_revoked(DAY) for one in list_generations(change, "web")}
    for number, answer in found.items():
        here, expected = number, False
        while here:
            expected = expected or (here in moments and moments[here] <= DAY)
            here = chain[here]
        assert answer == expected
