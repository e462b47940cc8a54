from __future__ import annotations

import pytest

from regild.errors import NotListed, UsageError
from regild.model.group import KnownInstance
from regild.store import Catalogue
from regild.store.events import list_events
from regild.store.groups import (
    history_of_group,
    list_groups,
    list_windows,
    read_group,
    remove_window,
    save_group,
    save_rotation,
    save_window,
    scale_group,
)
from regild.store.instances import (
    ask_approval,
    decide_approval,
    list_approvals,
    list_instances,
    remove_instance,
    save_instance,
)
from tests.store.samples import DAY, grow, later


def test_every_version_of_a_groups_file_is_kept(catalogue: Catalogue) -> None:
    with catalogue.writing("anna", DAY) as change:
        save_group(change, "shop", "size = 2\n", "web", "production")
        save_group(change, "shop", "size = 2\n", "web", "production")
    with catalogue.writing("ben", later(days=1)) as change:
        save_group(change, "shop", "size = 3\n", "web", "canary")
        scale_group(change, "shop", 12)
        versions = [(one.version, one.text, one.actor) for one in history_of_group(change, "shop")]
        assert versions == [(1, "size = 2\n", "anna"), (2, "size = 3\n", "ben")]
        (now,) = list_groups(change)
        assert (now.version, now.channel, now.size) == (2, "canary", 12)
        assert read_group(change, "shop", 1).text == "size = 2\n"
        with pytest.raises(NotListed):
            read_group(change, "shop", 3)
        with pytest.raises(UsageError):
            save_group(change, "No Name", "", "web", "dev")


def test_an_instance_is_what_it_was_last_seen_as_and_its_past_is_told(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 2)
    with catalogue.writing("agent", DAY) as change:
        save_group(change, "shop", "", "web", "production")
        one = KnownInstance("shop", "shop-1", "running", current="web@1", facts={"ip": "10.0.0.7"})
        save_instance(change, one)
    with catalogue.writing("agent", later(hours=1)) as change:
        seen = KnownInstance("shop", "shop-1", "staged", current="web@1", staged="web@2", user="u1")
        save_instance(change, seen)
        save_instance(change, seen)
        (found,) = list_instances(change, "shop")
        assert (found.state, found.current, found.staged) == ("staged", "web@1", "web@2")
        assert found.changed == later(hours=1)
        remove_instance(change, "shop", "shop-1", "released")
        assert list_instances(change) == ()
        told = [(one.kind, one.facts) for one in list_events(change, subject="shop/shop-1")]
    assert told == [
        ("instance", {"state": "running", "current": "web@1"}),
        ("instance", {"state": "staged", "staged": "web@2", "user": "u1"}),
        ("instance.remove", {"current": "web@1", "why": "released"}),
    ]


def test_an_instance_of_no_generation_or_no_group_is_refused(catalogue: Catalogue) -> None:
    grow(catalogue, "web", 1)
    with catalogue.writing("agent") as change:
        save_group(change, "shop", "", "web", "production")
        for wrong in (
            KnownInstance("shop", "a", "", current="web@9"),
            KnownInstance("none", "a", ""),
        ):
            with pytest.raises(NotListed):
                save_instance(change, wrong)


def test_how_far_a_group_is_outlives_the_process(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        save_group(change, "shop", "", "web", "production")
        for wave in (1, 1, 2):
            save_rotation(change, "shop", {"phase": "rotating", "wave": wave})
        assert read_group(change, "shop").rotation == {"phase": "rotating", "wave": 2}
        told = [one.facts["wave"] for one in list_events(change, kind="group.rotation")]
    assert told == [1, 2]


def test_windows_have_names_and_are_replaced_whole(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        save_window(change, "nights", "window", "BEGIN:VCALENDAR")
        save_window(change, "nights", "freeze", "END:VCALENDAR")
        (window,) = list_windows(change)
        assert (window.kind, window.calendar) == ("freeze", "END:VCALENDAR")
        remove_window(change, "nights")
        with pytest.raises(NotListed):
            remove_window(change, "nights")


def test_a_question_is_asked_once_and_decided_by_somebody(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        first = ask_approval(change, "web@2 -> production")
        assert ask_approval(change, "web@2 -> production").id == first.id
    with catalogue.writing("anna", later(hours=1)) as change:
        said = decide_approval(change, "web@2 -> production", "approved", "looks good")
        assert (said.verdict, said.actor, said.asked) == ("approved", "anna", DAY)
        with pytest.raises(NotListed):
            decide_approval(change, "web@2 -> production", "refused")
        assert [one.verdict for one in list_approvals(change)] == ["approved"]
