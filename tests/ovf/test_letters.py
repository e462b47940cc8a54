from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import Malformed
from regild.ovf.letters import from_letters, from_words, to_letters, to_words
from regild.ovf.markup import escape, parse

TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]), st.sampled_from("\\u01dabc \t\n\x00\x1f\ufffe")
    )
)


@given(TEXT)
def test_every_text_comes_back_through_xml(text: str) -> None:
    written = b'<a b="' + escape(to_letters(text)) + b'"/>'
    assert from_letters(parse(written, "x").value("b")) == text


@given(st.lists(TEXT.filter(bool)))
def test_every_list_comes_back(words: list[str]) -> None:
    assert from_words(to_words(words)) == tuple(words)


@pytest.mark.parametrize("plain", ["C:\\Windows\\system32", "1:3.0+dfsg~1-1", "/usr/bin", "é"])
def test_ordinary_strings_stay_as_they_are(plain: str) -> None:
    assert to_letters(plain) == plain


def test_an_escape_in_the_guests_own_text_is_no_escape() -> None:
    assert to_letters("\\u0041") == "\\u005cu0041"
    assert from_letters("\\u005cu0041") == "\\u0041"


def test_a_surrogate_is_no_text_on_either_side() -> None:
    with pytest.raises(Malformed):
        to_letters("a\udc80")
    assert from_letters("\\udc80") == "\\udc80"


def test_an_empty_word_is_refused() -> None:
    with pytest.raises(Malformed):
        to_words(["a", ""])
