"""JSON both ways, also for names that are not text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import Malformed
from regild.model.json import from_json, from_json_once, to_json
from regild.model.record import Attribute, Entry, Inode

names = st.binary(max_size=40).map(lambda name: name.decode(errors="surrogateescape"))


@given(name=names, value=st.binary(max_size=40), indent=st.sampled_from([0, 2]))
def test_any_name_and_value_of_a_guest_survives(name: str, value: bytes, indent: int) -> None:
    inode = Inode("symlink", target=name, attributes=(Attribute(name, value),))
    entry = Entry(name, Inode("absent"), inode, link_to=name)
    text = to_json(entry, indent)
    assert from_json(Entry, text) == entry
    assert from_json(Entry, text.encode()) == entry


@given(text=st.text(max_size=40))
def test_text_is_the_same_json_whatever_stands_beside_it(text: str) -> None:
    assert json.loads(to_json([text, "\udcff"])) == [text, "\udcff"]
    assert from_json(list[str], to_json([text, "\U0001f600\\ud83d"], 0))[0] == text


@pytest.mark.parametrize("text", ["", "{", '"\\udcff', '["\\udcff"]', "[" * 100_000 + "\\udcff"])
def test_what_is_no_such_value_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        from_json(Entry, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": 1, "\\u0061": 2}',
        '[[{"b": {"c": null, "x": 0, "c": 1}}]]',
        "[" * 100_000,
        '{"a": ',
    ],
)
def test_a_name_that_stands_twice_is_no_evidence(text: str) -> None:
    with pytest.raises(Malformed):
        from_json_once(object, text, "it")


def test_the_same_name_in_different_objects_is_fine() -> None:
    told = '{"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}'
    assert from_json_once(object, told) == json.loads(told)
