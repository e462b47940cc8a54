import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import Busy, Malformed, MissingFile, Truncated
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from tests.image.disks import MemoryDisk, by_extents, noise

SIZES = (3 * GRAIN_BYTES, 2 * GRAIN_BYTES + 4096 * 3 + 512, GRAIN_BYTES - 1)
BASE = noise(3 * GRAIN_BYTES)


@st.composite
def histories(draw):
    size = draw(st.sampled_from(SIZES))
    places = st.integers(0, size) | st.integers(0, size // 4096).map(lambda block: block * 4096)
    lengths = st.integers(0, 9000) | st.integers(0, 40).map(lambda block: block * 4096)
    acts = st.sampled_from(("write", "discard", "read", "reopen"))
    steps = draw(st.lists(st.tuples(acts, places, lengths, st.integers(0, 255)), max_size=12))
    return size, [(act, at, min(length, size - at), byte) for act, at, length, byte in steps]


@settings(max_examples=80, deadline=None)
@given(histories())
def test_an_overlay_reads_as_if_the_disk_had_been_written(history):
    size, steps = history
    model = bytearray(BASE[:size])
    base = MemoryDisk(BASE[:size])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overlay"
        overlay = Overlay.create(path, base)
        for act, at, length, byte in steps:
            if act == "write":
                content = bytes([byte]) * length
                overlay.write(at, content)
                model[at : at + length] = content
            elif act == "discard":
                overlay.discard(at, length)
                model[at : at + length] = bytes(length)
            elif act == "reopen":
                overlay.flush()
                overlay.close()
                overlay = Overlay.open(path, base)
            assert overlay.read(at, length) == model[at : at + length]
        assert overlay.read(0, size) == bytes(model)
        assert by_extents(overlay) == bytes(model)
        changed = set(overlay.changed())
        for number in range(-(-size // GRAIN_BYTES)):
            span = slice(number * GRAIN_BYTES, (number + 1) * GRAIN_BYTES)
            assert number in changed or model[span] == base.content[span]
        for at in range(0, size, 4096):
            is_same = model[at : at + 4096] == base.content[at : min(at + 4096, size)]
            assert is_same or overlay.touches(at, min(4096, size - at))
        assert overlay.touches(0, size) == bool(changed)
        overlay.close()
    assert base.content == BASE[:size]


def test_after_a_crash_it_holds_what_the_last_flush_held(tmp_path):
    base = MemoryDisk(BASE)
    overlay = Overlay.create(tmp_path / "overlay", base)
    overlay.write(0, b"a" * 4096)
    overlay.flush()
    overlay.write(GRAIN_BYTES, b"b" * 4096)
    overlay.close()
    with Overlay.open(tmp_path / "overlay", base) as again:
        assert again.changed() == [0]
        assert again.read(0, 4096) == b"a" * 4096
        assert again.read(GRAIN_BYTES, 4096) == BASE[GRAIN_BYTES : GRAIN_BYTES + 4096]


def test_whole_blocks_are_written_without_reading_the_disk_below(tmp_path):
    class Unreadable(MemoryDisk):
        def read(self, offset, length):
            raise AssertionError("the disk below was read")

    with Overlay.create(tmp_path / "overlay", Unreadable(BASE)) as overlay:
        overlay.write(8192, b"x" * 12288)
        overlay.discard(GRAIN_BYTES, GRAIN_BYTES)
        assert overlay.read(8192, 12288) == b"x" * 12288
        assert overlay.read(GRAIN_BYTES, GRAIN_BYTES) == bytes(GRAIN_BYTES)


def test_a_discarded_grain_is_no_extent_and_takes_no_room(tmp_path):
    with Overlay.create(tmp_path / "overlay", MemoryDisk(BASE)) as overlay:
        overlay.discard(GRAIN_BYTES, GRAIN_BYTES)
        assert list(overlay.extents()) == [(0, GRAIN_BYTES), (2 * GRAIN_BYTES, GRAIN_BYTES)]
        assert (tmp_path / "overlay").stat().st_blocks == 0


def test_nothing_is_read_or_written_outside_of_the_disk(tmp_path):
    with Overlay.create(tmp_path / "overlay", MemoryDisk(BASE)) as overlay:
        for act in (
            lambda: overlay.write(len(BASE) - 1, b"ab"),
            lambda: overlay.write(-1, b"ab"),
            lambda: overlay.discard(len(BASE), 1),
            lambda: overlay.read(len(BASE), 1),
        ):
            with pytest.raises(Truncated):
                act()


def test_an_overlay_of_another_disk_is_refused(tmp_path):
    Overlay.create(tmp_path / "overlay", MemoryDisk(BASE)).close()
    with pytest.raises(Malformed, match="belongs to a disk"):
        Overlay.open(tmp_path / "overlay", MemoryDisk(BASE[:-512]))


def test_a_damaged_map_is_refused(tmp_path):
    base = MemoryDisk(BASE)
    with Overlay.create(tmp_path / "overlay", base) as overlay:
        overlay.write(0, b"x")
        overlay.flush()
    map_file = tmp_path / "overlay.map"
    good = map_file.read_bytes()
    for bad in (good[:10], good[:-1], good[:-1] + b"\xff", b"X" + good[1:]):
        map_file.write_bytes(bad)
        with pytest.raises(Malformed):
            Overlay.open(tmp_path / "overlay", base)
    map_file.unlink()
    with pytest.raises(MissingFile):
        Overlay.open(tmp_path / "overlay", base)


def test_an_overlay_is_never_made_over_a_file_that_is_there(tmp_path):
    (tmp_path / "overlay").write_bytes(b"mine")
    with pytest.raises(Busy):
        Overlay.create(tmp_path / "overlay", MemoryDisk(BASE))
    assert (tmp_path / "overlay").read_bytes() == b"mine"
