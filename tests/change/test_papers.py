"""What stages leave for each other is read with a bound, by every reader."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path
from typing import cast

import pytest

import regild.change
from regild.change import papers
from regild.change.apply import _judge
from regild.change.bounds import check_copies
from regild.change.extract import TAKEN, Taken
from regild.change.left import LEFT
from regild.change.papers import BYTES_MAX, read_left, read_paper
from regild.change.uml import _check
from regild.change.write import main as write
from regild.errors import Malformed, TooLarge
from regild.model.digest import Digest
from regild.model.json import to_json
from regild.model.plan import Plan
from regild.model.progress import Silent
from regild.model.record import Entry, Inode, Record

FILE = Inode("file", 0o644, digest=Digest("sha256:" + "0" * 64), mtime_ns=10**18, bytes=10**6)


def test_a_paper_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record((Entry("/usr/share/doc/\udcff", FILE, FILE, 0),), 7)
    (tmp_path / "record.json").write_text(to_json(record, indent=0))
    assert read_paper(Record, tmp_path / "record.json", "the change record") == record


def test_the_bound_is_far_above_a_new_release_of_a_desktop() -> None:
    entry = Entry("/usr/share/doc/" + "x" * 60, FILE, FILE, 10**9)
    assert 400_000 * len(to_json(entry, indent=0)) * 3 < BYTES_MAX


def test_every_reader_refuses_a_paper_over_the_bound(tmp_path: Path) -> None:
    for name in ("record.json", "owners.json", LEFT, TAKEN):
        with (tmp_path / name).open("wb") as file:
            file.truncate(BYTES_MAX + 1)  # a hole: refused before a byte of it is taken in
    plan = cast(Plan, None)  # what refuses looks at nothing of it
    request = {"job": str(tmp_path), "now_ns": 0, "parts": "[]"}
    begun = time.monotonic()
    for refused in (
        lambda: _check(tmp_path),
        lambda: write(request, Silent()),
        lambda: check_copies(tmp_path, Taken({}, (), largest_left=2), 1),
        lambda: _judge(tmp_path, (), plan),
    ):
        with pytest.raises(TooLarge, match="more than"):
            refused()
    assert time.monotonic() - begun < 10


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("pipe", "link", "missing"):
        with pytest.raises(Malformed):
            read_left(tmp_path / name)


def test_a_file_that_grows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "record.json"
    place.write_bytes(b"{}")
    short = os.stat_result([*place.stat()[:6], 1, *place.stat()[7:]])
    monkeypatch.setattr(papers.os, "fstat", lambda handle: short)
    with pytest.raises(Malformed, match="changes while"):
        read_left(place)


def test_no_json_of_a_change_is_read_past_the_bound() -> None:
    """`from_json` over a file's bytes is `read_paper`'s alone."""
    found = []
    for path in Path(regild.change.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "from_json":
                inside = [one for one in ast.walk(call) if isinstance(one, ast.Attribute)]
                if any(one.attr in ("read_bytes", "read_text") for one in inside):
                    found.append(path.name)
    assert found == []
