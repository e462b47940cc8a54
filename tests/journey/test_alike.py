"""Files that no two runs write alike are the same where they say the same, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.journey.alike import dumped, is_database, is_special, said

ROWS = "postmaster\nroot\nmailer-daemon\npostmaster\n"


def made(path: Path, rows: str, kind: str) -> bytes:
    line = ["db_load", "-T", "-t", kind, str(path)]
    subprocess.run(line, input=rows, text=True, check=True)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_what_is_made_twice_of_one_input_holds_the_same(tmp_path: Path, kind: str) -> None:
    first, second = (made(tmp_path / name, ROWS, kind) for name in ("1", "2"))
    assert is_database(first)
    assert first != second
    assert dumped(first) == dumped(second)


@pytest.mark.parametrize("kind", ["hash", "btree"])
@pytest.mark.parametrize(
    "rows", [ROWS.replace("root", "toor"), ROWS.replace("mailer", "nailer"), ROWS + "a\nb\n"]
)
def test_another_key_value_or_row_is_seen(tmp_path: Path, kind: str, rows: str) -> None:
    first, second = made(tmp_path / "1", ROWS, kind), made(tmp_path / "2", rows, kind)
    assert dumped(first) != dumped(second)


def test_the_time_at_which_postfix_made_it_is_no_part_of_it(tmp_path: Path) -> None:
    tables = {
        name: dumped(made(tmp_path / name, f"{ROWS}YP_LAST_MODIFIED\n{value}\n", "hash"))
        for name, value in {"1": "1795956165", "2": "1795956202", "3": "1795956202x"}.items()
    }
    assert tables["1"] == tables["2"] != tables["3"]
    assert b"YP_LAST_MODIFIED".hex().encode() in tables["1"]


def test_what_cannot_be_read_is_compared_byte_by_byte(tmp_path: Path) -> None:
    whole = made(tmp_path / "1", ROWS, "hash")
    damaged = bytearray(whole)
    damaged[2 * 4096 + 14] ^= 0xFF  # of the page before the first page of rows
    for one in (bytes(damaged), whole[:6000]):
        assert is_database(one)
        assert dumped(one) == one
    assert not is_database(b"")
    assert not is_database(b"root: postmaster\n")


INDEX = "/usr/share/info/dir"
LINES = b"* Menu:\n* Ed: (ed).  The line editor\n* Nano: (nano).  Small\n"
MOVED = b"* Menu:\n* Nano: (nano).  Small\n* Ed: (ed).  The line editor\n"


def test_the_lines_of_the_index_of_manuals_have_no_order() -> None:
    assert is_special(INDEX, LINES)
    assert is_special(f"{INDEX}.old", LINES)
    assert said(INDEX, LINES) == said(INDEX, MOVED)
    for other in (LINES.replace(b"Small", b"small"), LINES + b"* Sed: (sed).\n", LINES[:-10]):
        assert said(INDEX, other) != said(INDEX, LINES)


def test_of_a_key_only_the_content_is_by_chance() -> None:
    for name in ("golden-local.key", "site.key", "tw.cfg", "tw.pol", "tw.pol.bak"):
        path = f"/etc/tripwire/{name}"
        assert is_special(path, b"one")
        assert said(path, b"one") == said(path, b"two")
    for path in ("/etc/tripwire/twpol.txt", "/etc/tripwire/a/site.key", "/etc/ssl/site.key"):
        assert not is_special(path, b"one")


def test_the_times_of_the_files_of_documents_are_left_out() -> None:
    path, known = (
        "/var/lib/doc-base/info/files.yml",
        b"---\n~1/menu:\n  CT: 1795962677\n  ID: menu\n",
    )
    assert is_special(path, known)
    assert said(path, known) == said(path, known.replace(b"677", b"703"))
    assert said(path, known) != said(path, known.replace(b"ID: menu", b"ID: meno"))
    assert said(path, known) != said(path, known.replace(b"CT: 1", b"CT: x"))


def test_other_files_are_compared_as_they_are() -> None:
    assert not is_special(f"{INDEX}.new", LINES)
    assert not is_special("/etc/aliases", LINES)


def test_a_database_is_one_wherever_it_lies(tmp_path: Path) -> None:
    first = made(tmp_path / "1", ROWS, "hash")
    assert is_special("/etc/aliases.db", first[:16])
    assert said("/etc/aliases.db", first) == dumped(first)
