from hypothesis import given
from hypothesis import strategies as st

from regild.cli.table import pairs, table

WORD = st.text(alphabet="abcdefgh-.~", min_size=1, max_size=40)


def test_columns_are_aligned() -> None:
    lines = table(["NAME", "VERSION"], [["openssl", "3.0"], ["zlib1g", "1:1.2.13"]], 100)
    assert lines == ["NAME     VERSION", "openssl  3.0", "zlib1g   1:1.2.13"]


def test_an_empty_table_has_no_head() -> None:
    assert table(["NAME"], [], 100) == []


def test_escape_sequences_are_shown_not_obeyed() -> None:
    assert table(["NAME"], [["\x1b[2Jx"]], 100)[1] == "\\x1b[2Jx"


def test_a_list_gives_a_line_to_each_value() -> None:
    assert pairs([("Sources", ["a", "b"]), ("Applications", [])], 100) == [
        "Sources       a",
        "              b",
        "Applications  none",
    ]


@given(st.lists(st.tuples(WORD, WORD, WORD), min_size=1, max_size=5), st.integers(50, 120))
def test_nothing_is_cut_and_nothing_is_too_wide(rows: list[tuple[str, ...]], width: int) -> None:
    lines = table(["A", "B", "C"], rows, width)
    assert max(map(len, lines)) <= width
    wanted = sorted("".join(cell for row in rows for cell in row))
    shown = sorted("".join(lines[1:]).replace(" ", ""))
    assert shown == wanted


def test_sentences_give_way_before_names_and_words_break_between_their_pieces() -> None:
    why = "install: needed by linux-image-6.1.0-56-cloud-amd64 and by others of its kind"
    row = ["linux-image-6.1.0-56-cloud-amd64", "3.11.2-6+deb12u8", why]
    lines = table(["PACKAGE", "FROM", "WHY"], [row], 70)
    assert lines[1].startswith("linux-image-6.1.0-56-cloud-amd64  3.11.2-6+deb12u8  install: ")
    narrow = table(["PACKAGE", "FROM", "WHY"], [row], 50)
    assert narrow[1].split()[0].endswith("-")
