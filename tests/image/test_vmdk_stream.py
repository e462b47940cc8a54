import hashlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import Malformed, RegildError, Truncated
from regild.image.formats import open_disk, open_parts
from regild.image.merkle import virtual_digest
from regild.image.overlay import Overlay
from regild.image.vmdk_stream import plan_stream
from regild.model.progress import Silent
from tests.image.disks import MemoryDisk, by_extents, noise, tool, write_vmdk

GRAIN = 65536
CONTENT = noise(GRAIN * 3) + bytes(GRAIN * 600) + noise(GRAIN * 2, 2) + bytes(GRAIN)
CONTENT += noise(1024, 3)


def written(disk, path, base=None, dropped=(), **more):
    with (
        plan_stream(base, disk, dropped, scratch=path.parent, **more) as image,
        path.open("wb") as f,
    ):
        image.write_to(f)
        assert image.bytes == f.tell()
        return image.tally


@pytest.fixture
def base(tmp_path):
    """Packed by another hand (zlib, level 6) and with a descriptor of its own."""
    return write_vmdk(tmp_path / "base.vmdk", CONTENT)


def records_of(path):
    """Every grain of a stream with its compressed bytes."""
    with open_disk(path) as disk:
        return {
            number: disk.window.read(at, disk.record(number, at)) for number, at in disk.grains()
        }


def test_an_unchanged_disk_keeps_every_grain_byte_for_byte(tmp_path, base):
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        tally = written(overlay, tmp_path / "new.vmdk", disk)
    assert (tally.copied, tally.deflated, tally.left_out) == (6, 0, 0)
    assert records_of(tmp_path / "new.vmdk") == records_of(base)


def test_only_what_changed_is_deflated(tmp_path, base):
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        overlay.write(GRAIN + 100, b"changed")
        overlay.write(300 * GRAIN, b"new")
        overlay.write(2 * GRAIN, CONTENT[2 * GRAIN : 2 * GRAIN + 5000])
        overlay.write(400 * GRAIN, bytes(5000))
        overlay.discard(603 * GRAIN, GRAIN)
        tally = written(overlay, tmp_path / "new.vmdk", disk)
        expected = overlay.read(0, overlay.size)
    assert (tally.copied, tally.same, tally.deflated, tally.left_out) == (3, 1, 2, 2)
    old, new = records_of(base), records_of(tmp_path / "new.vmdk")
    assert {number for number in new if new[number] != old.get(number)} == {1, 300}
    with open_disk(tmp_path / "new.vmdk") as again:
        assert again.read(0, again.size) == expected
        assert by_extents(again) == expected


def test_free_grains_are_left_out_only_when_all_of_them_is_free(tmp_path, base):
    free = [(10, GRAIN), (GRAIN * 2, GRAIN // 2), (GRAIN * 2 + GRAIN // 2, GRAIN // 2)]
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        overlay.write(2 * GRAIN, b"garbage")
        tally = written(overlay, tmp_path / "new.vmdk", disk, free)
    assert tally.left_out == 1
    assert set(records_of(tmp_path / "new.vmdk")) == {0, 1, 603, 604, 606}


def test_equal_input_gives_equal_bytes_and_a_change_gives_another_content_id(tmp_path, base):
    ids = []
    for name, change in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        with open_disk(base) as disk, Overlay.create(tmp_path / name, disk) as overlay:
            overlay.write(5, change)
            written(overlay, tmp_path / f"{name}.vmdk", disk)
        with open_disk(tmp_path / f"{name}.vmdk") as disk:
            ids.append(disk.descriptor.content_id)
    assert (tmp_path / "a.vmdk").read_bytes() == (tmp_path / "b.vmdk").read_bytes()
    assert ids[0] == ids[1] != ids[2]
    assert "12345678" not in ids


def test_the_digest_is_taken_over_exactly_what_is_written(tmp_path, base):
    digest = hashlib.sha256()
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        overlay.write(0, b"x")
        with plan_stream(disk, overlay) as image:
            file = io.BytesIO()
            image.write_to(file, digest.update)
            assert image.bytes == len(file.getvalue())
    assert digest.hexdigest() == hashlib.sha256(file.getvalue()).hexdigest()


def test_it_copies_out_of_an_archive_in_place(tmp_path, base):
    inside = base.read_bytes()
    ova = tmp_path / "disk.ova"
    ova.write_bytes(b"o" * 1536 + inside)
    with open_disk(ova, 1536, len(inside)) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        written(overlay, tmp_path / "new.vmdk", disk)
    assert records_of(tmp_path / "new.vmdk") == records_of(base)


def test_of_a_disk_in_chunks_everything_is_deflated_anew(tmp_path, base):
    chunks = []
    for number, begin in enumerate(range(0, base.stat().st_size, 99_999)):
        chunk = tmp_path / f"chunk{number}"
        chunk.write_bytes(base.read_bytes()[begin : begin + 99_999])
        chunks.append((chunk, 0, chunk.stat().st_size))
    with open_parts(chunks) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        overlay.write(0, b"changed")
        written(overlay, tmp_path / "new.vmdk", disk)
    with open_disk(tmp_path / "new.vmdk") as new:
        assert new.read(0, new.size) == b"changed" + CONTENT[7:]


def test_the_disk_database_is_kept_and_the_name_is_clean(tmp_path, base):
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        written(overlay, tmp_path / "new.vmdk", disk, name='../"evil\nname')
    with open_disk(tmp_path / "new.vmdk") as disk:
        assert disk.descriptor.database == ('ddb.adapterType = "lsilogic"',)
        assert disk.descriptor.create_type == "streamOptimized"
        assert disk.descriptor.name == "..__evil_name"


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40 * GRAIN),
    marks=st.lists(st.tuples(st.integers(0, 40 * GRAIN), st.integers(1, 255)), max_size=12),
)
def test_any_disk_survives_being_written_and_read(size, marks):
    content = bytearray(size)
    for at, byte in marks:
        if at < size:
            content[at] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.vmdk"
        written(MemoryDisk(bytes(content)), path)
        with open_disk(path) as disk:
            # A VMDK counts in sectors: the last one is filled up with zeros.
            assert disk.size == -(-size // 512) * 512
            assert disk.read(0, size) == content
            assert not disk.read(size, disk.size - size).strip(b"\0")
            assert len(records_of(path)) == len({at // GRAIN for at, _b in marks if at < size})


def test_an_empty_disk_is_written_too(tmp_path):
    written(MemoryDisk(bytes(5 << 20), []), tmp_path / "d.vmdk")
    with open_disk(tmp_path / "d.vmdk") as disk:
        assert disk.size == 5 << 20
        assert list(disk.extents()) == []


def test_grains_of_another_size_are_deflated_anew(tmp_path):
    odd = write_vmdk(tmp_path / "odd.vmdk", CONTENT, grain=16)
    with open_disk(odd) as disk:
        tally = written(disk, tmp_path / "new.vmdk")
        assert tally.copied == 0
        with open_disk(tmp_path / "new.vmdk") as again:
            assert virtual_digest(again) == virtual_digest(disk)


@pytest.mark.parametrize("changed", [False, True])
def test_qemu_finds_no_error_and_the_same_content(tmp_path, base, changed):
    raw = tmp_path / "expected.raw"
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        if changed:
            overlay.write(GRAIN - 10, noise(GRAIN, 9))
            overlay.write(overlay.size - 7, b"the end")
            overlay.discard(0, 4096)
        written(overlay, tmp_path / "new.vmdk", disk)
        raw.write_bytes(overlay.read(0, overlay.size))
    tool("qemu-img", "check", "-f", "vmdk", tmp_path / "new.vmdk")
    tool("qemu-img", "compare", "-f", "vmdk", "-F", "raw", tmp_path / "new.vmdk", raw)


@pytest.mark.parametrize("options", [("-O", "raw"), ("-O", "qcow2", "-c"), ("-O", "vmdk")])
def test_disks_of_every_format_can_be_written_as_a_stream(tmp_path, options):
    raw = tmp_path / "disk.raw"
    raw.write_bytes(CONTENT)
    tool("qemu-img", "convert", "-f", "raw", *options, raw, tmp_path / "in")
    with open_disk(tmp_path / "in") as disk:
        written(disk, tmp_path / "new.vmdk")
    tool("qemu-img", "check", "-f", "vmdk", tmp_path / "new.vmdk")
    tool("qemu-img", "compare", "-f", "vmdk", "-F", "raw", tmp_path / "new.vmdk", raw)


def test_a_base_that_is_cut_off_or_lies_is_refused_and_leaves_no_scratch(tmp_path, base):
    good = base.read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    bad = bytearray(good)
    bad[128 * 512 + 8 : 128 * 512 + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "bad.vmdk").write_bytes(bad)
    with open_disk(tmp_path / "bad.vmdk") as disk, pytest.raises(Malformed):
        plan_stream(disk, disk, scratch=scratch)
    with open_disk(base) as disk, plan_stream(disk, disk, scratch=scratch) as image:
        (tmp_path / "base.vmdk").write_bytes(good[:70000])
        with pytest.raises(Truncated):
            image.write_to(io.BytesIO())
    assert list(scratch.iterdir()) == []


def test_a_full_scratch_folder_is_a_typed_error(tmp_path, base):
    with open_disk(base) as disk, pytest.raises(RegildError):
        plan_stream(disk, disk, scratch=tmp_path / "no such folder")


def test_progress_adds_up_to_the_disk_and_then_to_the_file(tmp_path, base):
    class Watch(Silent):
        done = 0

        def advance(self, amount):
            assert amount >= 0
            self.done += amount

    plan, write = Watch(), Watch()
    with open_disk(base) as disk, Overlay.create(tmp_path / "o", disk) as overlay:
        overlay.write(700, b"x")
        with plan_stream(disk, overlay, progress=plan) as image:
            image.write_to(io.BytesIO(), progress=write)
            assert (plan.done, write.done) == (disk.size, image.bytes)
