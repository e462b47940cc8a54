"""The record: an upper directory of overlayfs read as changes. The folders are made by hand."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from regild.change.record import STAYED, canonical_acl, mark_of, read_record
from regild.errors import GuestFull, RecordRefused
from regild.model.record import Entry, Record

WHITEOUT = 0o020000


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    return upper, lower


def read(layers: tuple[Path, Path]) -> tuple[Record, bytes]:
    content = io.BytesIO()
    return read_record(*layers, content, 1 << 30), content.getvalue()


def entries(layers: tuple[Path, Path]) -> dict[str, Entry]:
    return {entry.path: entry for entry in read(layers)[0].entries}


def put(path: Path, content: bytes = b"", mtime_ns: int = 1_000_000_007) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def test_a_copy_that_did_not_change_is_left_out(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    put(lower / "file", b"same")
    put(upper / "file", b"same")
    assert entries(layers) == {}


def test_a_new_time_alone_is_kept_without_content(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    put(lower / "file", b"same")
    put(upper / "file", b"same", mtime_ns=5)
    assert entries(layers)["/file"].content_at is None


def test_new_content_is_stored_once_for_equal_files(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    for name in "abc":
        put(upper / name, b"content")
    record, content = read(layers)
    assert content == b"content"
    assert [entry.content_at for entry in record.entries] == [0, 0, 0]
    assert record.content_bytes == 7


@pytest.mark.root
def test_content_that_is_not_kept_leaves_nothing_behind(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    put(lower / "a", b"a long content that stays as it is")
    put(upper / "a", b"a long content that stays as it is", mtime_ns=5)
    put(upper / "b", b"short")
    put(lower / "c", b"one more that stays")
    put(upper / "c", b"one more that stays", mtime_ns=5)
    record, content = read(layers)
    assert (content, record.content_bytes) == (b"short", 5)
    assert [entry.content_at for entry in record.entries] == [None, 0, None]


def test_a_whiteout_removes_the_path_and_all_below_it(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    put(lower / "folder/inside/file", b"x")
    os.mknod(upper / "folder", WHITEOUT, os.makedev(0, 0))
    found = entries(layers)
    assert set(found) == {"/folder", "/folder/inside", "/folder/inside/file"}
    assert {entry.becomes.kind for entry in found.values()} == {"absent"}


@pytest.mark.root
def test_a_whiteout_over_nothing_is_nothing(layers: tuple[Path, Path]) -> None:
    os.mknod(layers[0] / "never", WHITEOUT, os.makedev(0, 0))
    assert entries(layers) == {}


def test_an_opaque_folder_hides_what_was_in_it(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    put(lower / "folder/old", b"x")
    put(lower / "folder/both", b"x")
    put(upper / "folder/both", b"y")
    os.setxattr(upper / "folder", "user.overlay.opaque", b"y")
    found = entries(layers)
    assert found["/folder/old"].becomes.kind == "absent"
    assert found["/folder/both"].becomes.kind == "file"


def test_names_of_one_file_stay_names_of_one_file(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    put(upper / "a", b"x")
    (upper / "b").hardlink_to(upper / "a")
    found = entries(layers)
    assert found["/b"].link_to == "/a"
    assert found["/a"].becomes.links == found["/b"].becomes.links == 2


def test_a_file_that_replaces_a_folder_takes_the_folders_content_away(
    layers: tuple[Path, Path],
) -> None:
    upper, lower = layers
    put(lower / "place/inside", b"x")
    put(upper / "place", b"now a file")
    found = entries(layers)
    assert found["/place"].was.kind == "directory"
    assert found["/place/inside"].becomes.kind == "absent"


def test_links_are_recorded_and_not_followed(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    (upper / "link").symlink_to("/etc/shadow")
    assert entries(layers)["/link"].becomes.target == "/etc/shadow"


def test_what_the_image_keeps_for_itself_is_left_out(layers: tuple[Path, Path]) -> None:
    put(layers[0] / "etc/machine-id", b"made up")
    assert "/etc/machine-id" not in entries(layers)


def test_names_that_are_not_text_survive(layers: tuple[Path, Path]) -> None:
    (Path(os.fsdecode(os.fsencode(layers[0]) + b"/\xff\n'"))).write_bytes(b"x")
    assert "/\udcff\n'" in entries(layers)


def test_names_in_folders_that_are_left_out_do_not_count(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    put(upper / "a", b"x")
    (upper / "var/tmp").mkdir(parents=True)
    (upper / "var/tmp/b").hardlink_to(upper / "a")
    assert entries(layers)["/a"].becomes.links == 1


def test_a_file_that_cannot_fit_is_not_even_read(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    put(upper / "hole")
    os.truncate(upper / "hole", 1 << 40)
    with pytest.raises(GuestFull, match="/hole of 1048576 MiB does not fit"):
        read(layers)


@pytest.mark.parametrize("name", ["overlay.opaque", "redirect", "metacopy"])
def test_overlayfs_own_marks_are_refused(layers: tuple[Path, Path], name: str) -> None:
    os.setxattr(put(layers[0] / "file"), f"user.overlay.{name}", b"y")
    with pytest.raises(RecordRefused, match=name):
        read(layers)


def test_folders_without_end_are_refused(layers: tuple[Path, Path]) -> None:
    (layers[0] / "/".join(["d"] * 300)).mkdir(parents=True)
    with pytest.raises(RecordRefused, match="too deep"):
        read(layers)


def test_an_access_list_reads_the_same_from_kernel_and_library() -> None:
    kernel = bytes.fromhex("02000000 01000700ffffffff 02000500e8030000 20000400ffffffff")
    library = bytes.fromhex("02000000 0100070000000000 02000500e8030000 2000040000000000")
    assert canonical_acl(kernel) == library == canonical_acl(library)


def test_a_file_that_was_written_through_is_told_from_one_that_replaced_it(
    layers: tuple[Path, Path], tmp_path: Path
) -> None:
    upper, lower = layers
    merged = tmp_path / "merged"
    merged.mkdir()
    for name in ("written", "replaced", "moved", "forgotten"):
        put(lower / name, b"old")
        put(upper / name, b"new")
    put(upper / "made", b"new")
    # The numbers as overlayfs tells them: of a copied file the lower one's, while it knows that.
    for name, source in {"written": lower / "written", "moved": lower / "replaced"}.items():
        (merged / name).hardlink_to(source)
    for name in ("replaced", "forgotten", "made"):
        (merged / name).hardlink_to(upper / name)
    for name in ("written", "moved", "forgotten", "made"):
        os.setxattr(upper / name, "user.overlay.origin", b"")
    record = read_record(*layers, io.BytesIO(), 1 << 30, merged=merged)
    assert {entry.path for entry in record.entries if entry.in_place} == {"/written"}
    assert not any(entry.becomes.attributes for entry in record.entries)


def test_a_mark_of_a_booted_guest_counts_where_it_was_put(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    for name in ("written", "moved"):
        put(lower / name, b"old")
        os.setxattr(put(upper / name, b"new"), STAYED, mark_of("/written"))
    found = entries(layers)
    assert {path: found[path].in_place for path in found} == {"/moved": False, "/written": True}
    assert not any(found[path].becomes.attributes for path in found)


def test_holes_are_on_record_and_read_as_zeros(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    size = 4 << 20
    with (upper / "holes").open("wb") as file:
        file.write(b"a")
        file.seek(2 << 20)
        file.write(b"b")
        file.truncate(size)
    (upper / "nothing").touch()
    os.truncate(upper / "nothing", size)
    put(upper / "zeros", bytes(size))
    record, content = read(layers)
    found = {entry.path: entry for entry in record.entries}
    assert found["/holes"].holes == (
        (4096, (2 << 20) - 4096),
        ((2 << 20) + 4096, size - (2 << 20) - 4096),
    )
    assert found["/nothing"].holes == ((0, size),)
    assert found["/zeros"].holes == ()
    at = found["/holes"].content_at
    assert at is not None
    assert content[at : at + size] == (upper / "holes").read_bytes()


def test_a_file_of_too_many_holes_is_kept_as_if_it_had_none(
    layers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upper, _ = layers
    with (upper / "holes").open("wb") as file:
        for number in range(5):
            file.seek(number << 20)
            file.write(b"x")
    assert len(entries(layers)["/holes"].holes) == 4
    monkeypatch.setattr("regild.change.record.HOLES_MAX", 3)
    assert entries(layers)["/holes"].holes == ()
