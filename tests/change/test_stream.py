"""Trees between kernels: what was sent arrives, and what could lead elsewhere is refused."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from regild.change.stream import Sent, receive_tree, send_tree
from regild.change.unpack import Unpacking
from regild.errors import Malformed, RegildError
from regild.model.json import to_json
from regild.model.progress import Silent

TOP = Sent("/", "directory", 0o755)


def line(sent: Sent) -> bytes:
    return to_json(sent, indent=0).encode() + b"\n"


def unpacked(content: bytes, folder: Path) -> Unpacking:
    folder.mkdir()
    unpacking = Unpacking(str(folder), "/srv", "test", Silent())
    unpacking.run(io.BytesIO(content))
    return unpacking


def test_a_tree_arrives_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/\udce4 \n").write_bytes(b"odd name")
    (root / "a/one").write_bytes(b"x" * 3_000_000)
    (root / "two").hardlink_to(root / "a/one")
    (root / "link").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    (root / "a/one").chmod(0o4711)
    os.setxattr(root / "a/one", "user.x", b"\0y")
    with (root / "holes").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    (root / "hidden/x").mkdir(parents=True)
    os.utime(root / "a", ns=(1, 1_234_567_890_123_456_789))
    out = io.BytesIO()
    send_tree(str(root), out, ("/hidden/",))
    assert len(out.getvalue()) < 4_000_000
    unpacked(out.getvalue(), tmp_path / "made")
    made = tmp_path / "made"
    names = sorted(path.name for path in made.iterdir())
    assert names == ["a", "hidden", "holes", "link", "pipe", "two"]
    assert not list((made / "hidden").iterdir())
    assert (made / "a/b/\udce4 \n").read_bytes() == b"odd name"
    one = (made / "a/one").lstat()
    assert (stat.S_IMODE(one.st_mode), one.st_nlink, one.st_size) == (0o4711, 2, 3_000_000)
    assert os.getxattr(made / "two", "user.x") == b"\0y"
    assert (made / "link").is_symlink() and stat.S_ISFIFO((made / "pipe").lstat().st_mode)
    assert (made / "holes").read_bytes() == bytes(5 << 20) + b"end"
    assert (made / "a").lstat().st_mtime_ns == 1_234_567_890_123_456_789


def test_devices_are_named_and_immutable_files_noted(tmp_path: Path) -> None:
    device = Sent("/null", "character", 0o666, device=(1, 3))
    twin = Sent("/other", "character", link_to="/null")
    fixed = Sent("/fixed", "file", 0o600, os.getuid(), os.getgid(), fixed=True)
    found = unpacked(b"".join(map(line, (TOP, device, twin, fixed))), tmp_path / "made")
    assert found.lost == [["/srv/null", "device"]]
    assert found.fixed == ["/srv/fixed"]


@pytest.mark.parametrize(
    "rows",
    [
        [Sent("/x", "file")],
        [TOP, Sent("/../x", "file")],
        [TOP, Sent("/..", "directory")],
        [TOP, Sent("/a/b", "file")],
        [TOP, Sent("/a", "symlink", target="/etc"), Sent("/a/b", "file")],
        [TOP, Sent("/a", "file"), Sent("/a", "symlink", target="/etc")],
        [TOP, Sent("/a", "directory"), Sent("/a", "directory")],
        [TOP, Sent("//etc", "file")],
        [TOP, Sent("x", "file")],
        [TOP, Sent("/a\0b", "file")],
        [TOP, Sent("/a", "file", link_to="/etc/shadow")],
        [TOP, Sent("/d", "directory"), Sent("/a", "file", link_to="/d")],
        [TOP, Sent("/a", "file", bytes=10, extents=((0, 20),))],
        [TOP, Sent("/a", "file", bytes=10, extents=((5, 5), (0, 5)))],
        [TOP, Sent("/a", "symlink", target="x", extents=((0, 5),))],
        [TOP, Sent("/" + "a/" * 300, "directory")],
    ],
    ids=repr,
)
def test_what_could_lead_elsewhere_is_refused(rows: list[Sent], tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        unpacked(b"".join(map(line, rows)), tmp_path / "made")


@pytest.mark.parametrize("content", [b"x\n", b"{}\n", b"\xff", line(TOP)[:-5], b"[" * 9000 + b"\n"])
def test_what_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(RegildError):
        list(receive_tree(io.BytesIO(content), "test"))


def test_content_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    content = line(TOP) + line(Sent("/a", "file", bytes=10, extents=((0, 10),))) + b"12345"
    with pytest.raises(Malformed, match="cut off"):
        unpacked(content, tmp_path / "made")


def test_files_of_two_subvolumes_are_never_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("left", "right"):
        (tmp_path / name).write_text(name)
        (tmp_path / f"{name}-again").hardlink_to(tmp_path / name)
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        facts = list(real(path))
        if "right" in Path(path).name:
            facts[2] += 1
        if Path(path).is_file():
            facts[1] = 257
        return os.stat_result(facts, {"st_mtime_ns": 0, "st_rdev": 0})

    monkeypatch.setattr("regild.change.stream.os.lstat", lstat)
    out = io.BytesIO()
    send_tree(str(tmp_path), out, ())
    monkeypatch.undo()
    unpacked(out.getvalue(), tmp_path / "made")
    for name in ("left", "right", "left-again", "right-again"):
        assert (tmp_path / "made" / name).read_text() == name.partition("-")[0]
