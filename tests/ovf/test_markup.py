from __future__ import annotations

import time

import pytest

from regild.errors import InputError, Malformed, TooLarge, UnsupportedFormat
from regild.ovf import markup
from regild.ovf.markup import Edit, end_of, escape, parse, set_attribute, splice, start_tag

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>"""


@pytest.mark.parametrize(
    "hostile",
    [
        LAUGHS,
        b"<!DOCTYPE a SYSTEM 'http://mirror.example/x.dtd'><a/>",
        b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        b"<!DOCTYPE a><a/>",
        b"<a>&undefined;</a>",
        b"<a>",
        b"",
        b"<a/><b/>",
        b"<a b='1' b='2'/>",
        b"<x:a/>",
        b"\xff<a/>",
        b"<a>\xff</a>",
        b"<a>\x00</a>",
    ],
)
def test_dtd_entities_and_broken_xml_are_refused(hostile: bytes) -> None:
    with pytest.raises(Malformed):
        parse(hostile, "x")


def test_depth_is_bounded() -> None:
    deep = b"<a>" * (markup.MAX_DEPTH + 1) + b"</a>" * (markup.MAX_DEPTH + 1)
    with pytest.raises(TooLarge):
        parse(deep, "x")
    assert parse(b"<a>" * 64 + b"</a>" * 64, "x").local == "a"


def test_a_million_elements_are_bounded_in_number_and_time() -> None:
    begun = time.process_time()
    with pytest.raises(TooLarge):
        parse(b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "x")
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "huge",
    [
        b"<a b='" + b"x" * (markup.MAX_ATTRIBUTE_LETTERS + 1) + b"'/>",
        b"<a " + b" ".join(b"b%d=''" % n for n in range(200)) + b"/>",
        b"<a>" + b"x" * markup.MAX_BYTES + b"</a>",
    ],
)
def test_huge_attributes_and_documents_are_refused(huge: bytes) -> None:
    with pytest.raises(TooLarge):
        parse(huge, "x")


@pytest.mark.parametrize(
    "other",
    [
        "<a/>".encode("utf-16"),
        "<a/>".encode("utf-16-be"),
        "<a/>".encode("utf-32"),
        b"<?xml version='1.0' encoding='no-such-code'?><a/>",
        b"<?xml version='1.0' encoding='shift_jis'?><a/>",
    ],
)
def test_encodings_that_cannot_be_edited_are_refused(other: bytes) -> None:
    with pytest.raises((UnsupportedFormat, InputError)):
        parse(other, "x")


def test_latin_1_is_read_and_its_offsets_are_those_of_its_bytes() -> None:
    content = "<?xml version='1.0' encoding='iso-8859-1'?><a>éé<b c='é'/></a>".encode("latin-1")
    root = parse(content, "x")
    assert root.text == "éé"
    child = root.children[0]
    assert content[child.start : end_of(content, child)] == "<b c='é'/>".encode("latin-1")


def test_a_start_tag_is_read_as_bytes() -> None:
    content = b"<r><a x:b = \"1>2\" c='/>' xmlns:x='u'  /></r>"
    element = parse(content, "x").children[0]
    tag = start_tag(content, element)
    assert tag.empty
    assert tag.name == b"a"
    assert [(name, content[a:b]) for name, a, b in tag.attributes] == [
        (b"x:b", b"1>2"),
        (b"c", b"/>"),
        (b"xmlns:x", b"u"),
    ]


def test_an_attribute_is_found_by_namespace_and_not_by_prefix() -> None:
    content = b"<r xmlns:p='u' xmlns:q='other'><a size='1' q:size='2' p:size='3'/></r>"
    element = parse(content, "x").children[0]
    edit = set_attribute(content, element, "u", "size", "99")
    assert edit is not None
    assert splice(content, [edit]).endswith(b"<a size='1' q:size='2' p:size='99'/></r>")
    assert set_attribute(content, element, "u", "none", "1") is None


def test_an_unqualified_attribute_is_taken_where_there_is_no_other() -> None:
    content = b"<a size='1'/>"
    edit = set_attribute(content, parse(content, "x"), "u", "size", "2")
    assert edit == Edit(9, 10, b"2")


def test_edits_must_not_overlap() -> None:
    with pytest.raises(Malformed):
        splice(b"abcdef", [Edit(0, 3, b""), Edit(2, 4, b"")])


def test_escaped_text_comes_back_through_the_parser() -> None:
    text = "a\t\n\r\"'<>&é漢😀]]>"
    root = parse(b'<a b="' + escape(text) + b'">' + escape(text) + b"</a>", "x")
    assert root.value("b") == text
    assert root.text == text
