import json
import string

from hypothesis import given
from hypothesis import strategies as st

from regild.cli.text import _STEERING as STEERS
from regild.cli.text import plain, plain_json, plain_lines

ANY = st.text(alphabet=st.characters(), max_size=60)
STEERING = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202egnp.exe \r \n \u2028 \udc9b"


def steers(text: str) -> bool:
    return any(
        ord(sign) < 32 or 0x7F <= ord(sign) <= 0x9F or sign in "\u202e\u2028" for sign in text
    )


def test_control_characters_become_visible_escapes() -> None:
    assert plain("\x1b[31mred\x1b[0m") == "\\x1b[31mred\\x1b[0m"
    assert plain("a\nb\rc\td") == "a\\nb\\rc\\td"
    assert plain("\x9b1m") == "\\x9b1m"
    assert plain("\u202egnp.exe") == "\\u202egnp.exe"
    assert plain("\udc9b") == "\\x9b"


def test_ordinary_text_of_any_language_stays() -> None:
    for text in (string.printable[:95], "Grüße, 世界, مرحبا", "3.0.15-1~deb12u1+b2"):
        assert plain(text) == text


def test_lines_keep_their_breaks_and_nothing_else() -> None:
    assert plain_lines("a\n\tb\x1b\r\n") == "a\n    b\\x1b\\r\n"


@given(ANY)
def test_nothing_printed_steers_a_terminal(text: str) -> None:
    assert not steers(plain(text))


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=8))
def test_json_keeps_its_meaning(value: object) -> None:
    text = plain_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(text) == value
    assert not steers(text.replace("\n", ""))
    text.encode("utf-8")


def test_json_has_no_raw_steering_signs() -> None:
    text = plain_json(json.dumps({"name": STEERING}, ensure_ascii=False))
    assert not steers(text)
    assert json.loads(text) == {"name": STEERING}


def test_no_sign_that_steers_is_printable() -> None:
    """Printable lines are not searched."""
    signs = filter(str.isprintable, map(chr, range(0x110000)))
    assert list(filter(STEERS.search, signs)) == []
