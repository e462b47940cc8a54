"""What a guest's programs may take, before this machine has nothing left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.change.bounds import RoomWatch
from regild.errors import GuestFull
from regild.host.usage import used_below

MIB = 1 << 20


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper/deep/deeper").mkdir(parents=True)
    return tmp_path / "upper"


def _write(path: Path, bytes_: int) -> None:
    with path.open("wb") as file:
        file.write(os.urandom(bytes_))
        file.flush()
        os.fsync(file.fileno())


@pytest.fixture
def watch(upper: Path) -> RoomWatch:
    watch = RoomWatch(upper, Path("/proc"), 4 * MIB)
    watch._look_below = 1 << 62  # other tests write on the same disk: look each time
    return watch


def test_what_fits_is_let_be_and_looked_at_again_after_more(
    upper: Path, watch: RoomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a guest only its own processes are in sight; here it would be all of this machine's.
    monkeypatch.setattr("regild.change.bounds.used_unnamed", lambda apart_from: 0)
    _write(upper / "deep/one", 3 * MIB)
    watch.check()
    assert watch._look_below < 1 << 62
    watch._look_below = 1 << 62
    _write(upper / "deep/deeper/two", 2 * MIB)
    with pytest.raises(GuestFull, match="wrote 5 MiB, and it has 4 MiB"):
        watch.check()


def test_a_file_that_lost_its_name_is_counted(upper: Path, watch: RoomWatch) -> None:
    with (upper / "gone").open("wb") as file:
        (upper / "gone").unlink()
        file.write(os.urandom(5 * MIB))
        file.flush()
        os.fsync(file.fileno())
        with pytest.raises(GuestFull):
            watch.check()


def test_names_of_one_file_count_once_and_holes_nothing(upper: Path) -> None:
    _write(upper / "one", 2 * MIB)
    os.link(upper / "one", upper / "deep/again")
    os.truncate(upper / "deep/again", 100 * MIB)
    (upper / "deep/away").symlink_to("/usr")
    assert 2 * MIB <= used_below(upper) < 3 * MIB


def test_a_folder_that_is_gone_counts_nothing(upper: Path) -> None:
    assert used_below(upper / "never") == 0
