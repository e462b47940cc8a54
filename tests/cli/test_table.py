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
