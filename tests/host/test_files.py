"""Files that are there whole or not at all, whenever their writer ends."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regild.errors import DiskFull, HostError, MissingFile, NotPermitted, PublishError, TooLarge
from regild.host.files import (
    digest_file,
    home_folder,
    open_new,
    read_limited,
    translated,
    write_whole,
)
from tests.host.apart import ROOT

WRITER = """
import sys, os
from pathlib import Path
from regild.host import files
{before}
with files.open_new(Path(sys.argv[1])) as file:
    file.write(b"new" * 100000)
    file.flush()
    print("writing", flush=True)
    if {wait}: sys.stdin.read()
"""

NO_NAMELESS = """
real = os.open
def without(path, flags, *rest, **more):
    if flags & os.O_TMPFILE == os.O_TMPFILE: raise OSError(95, "not supported")
    return real(path, flags, *rest, **more)
os.open = without
"""

STOPS = {
    "before the sync": "os.fsync = lambda fd: os.kill(os.getpid(), 9)",
    "before the name": "os.link = lambda *a, **k: os.kill(os.getpid(), 9)",
    "before it takes the place": "os.rename = lambda *a, **k: os.kill(os.getpid(), 9)",
    "before the folder's sync": (
        "synced = os.fsync\n"
        "import stat\n"
        "dies = lambda fd: stat.S_ISDIR(os.fstat(fd).st_mode) and os.kill(os.getpid(), 9)\n"
        "os.fsync = lambda fd: dies(fd) or synced(fd)"
    ),
}


def start(path: Path, before: str = "", wait: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.format(before=before, wait=wait), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
    )


def end(process: subprocess.Popen[bytes]) -> int:
    process.communicate()
    return process.returncode


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("stop", STOPS)
def test_a_writer_killed_anywhere_leaves_the_old_or_the_new_file(
    tmp_path: Path, old: bytes | None, nameless: bool, stop: str
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    before = STOPS[stop] if nameless else NO_NAMELESS + STOPS[stop]
    code = end(start(path, before))
    assert code in (0, -signal.SIGKILL)
    found = path.read_bytes() if path.exists() else None
    assert found in (old, b"new" * 100000)
    write_whole(path, b"next")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_new_file_never_has_a_second_name_even_for_a_moment(tmp_path: Path) -> None:
    for stop in STOPS.values():
        end(start(tmp_path / "file", stop))
        assert {path.name for path in tmp_path.iterdir()} <= {"file"}


@pytest.mark.parametrize("nameless", [True, False])
def test_a_living_writers_file_is_not_swept_away(tmp_path: Path, nameless: bool) -> None:
    path = tmp_path / "file"
    other = start(path, "" if nameless else NO_NAMELESS, wait=True)
    assert other.stdout is not None
    other.stdout.readline()
    write_whole(path, b"ours")
    assert end(other) == 0
    assert path.read_bytes() == b"new" * 100000
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_error_while_writing_changes_nothing(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    with pytest.raises(ZeroDivisionError), open_new(tmp_path / "file") as file:
        file.write(b"new")
        _ = 1 // 0
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_only_a_plain_file_or_a_link_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    if os.geteuid() == 0:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    for path in sorted(tmp_path.iterdir()):
        before = path.lstat()
        with pytest.raises(PublishError):
            write_whole(path, b"new")
        assert path.lstat().st_mode == before.st_mode
    (tmp_path / "link").symlink_to("/dev/null")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert not (tmp_path / "link").is_symlink()


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    for name in ("[a]*?", "new\nline", "\udcff"):
        write_whole(tmp_path / name, name.encode(errors="surrogateescape"))
        assert read_limited(tmp_path / name, 100) == name.encode(errors="surrogateescape")


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"12345")
    assert read_limited(tmp_path / "file", 5) == b"12345"
    with pytest.raises(TooLarge):
        read_limited(tmp_path / "file", 4)


def test_a_digest_is_of_the_whole_file_and_told_as_it_goes(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"x" * (3 << 20))
    told: list[int] = []
    digest = digest_file(tmp_path / "file", told.append)
    assert digest == "sha256:" + hashlib.sha256(b"x" * (3 << 20)).hexdigest()
    assert told == [1 << 20] * 3


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (FileNotFoundError(2, "x"), MissingFile),
        (PermissionError(13, "x"), NotPermitted),
        (OSError(errno.ENOSPC, "x"), DiskFull),
        (OSError(errno.EDQUOT, "x"), DiskFull),
    ],
)
def test_the_systems_errors_become_regilds(raised: OSError, kind: type[Exception]) -> None:
    with pytest.raises(kind), translated(Path("x")):
        raise raised


def test_a_full_disk_is_said() -> None:
    full = Path("/dev/full")
    with pytest.raises(DiskFull), translated(full), full.open("wb", buffering=0) as file:
        file.write(b"x")


def test_without_a_home_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(HostError, match="HOME"):
        home_folder()
