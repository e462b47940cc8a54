"""Every container that qemu-img makes of one disk holds that disk; what is broken is refused."""

import itertools
import random
from pathlib import Path

import pytest

from regild.errors import ExternalFile, Malformed, RegildError, UnsupportedFormat
from regild.image.formats import open_disk
from tests.image.disks import by_extents, content_of, noise, reads_or_refuses, tool, whole

SIZE = 9 << 20
KINDS = {
    "dynamic.vhd": ("vpc", "subformat=dynamic", "vhd"),
    "fixed.vhd": ("vpc", "subformat=fixed", "vhd"),
    "dynamic.vhdx": ("vhdx", "subformat=dynamic", "vhdx"),
    "fixed.vhdx": ("vhdx", "subformat=fixed", "vhdx"),
    "dynamic.vdi": ("vdi", "static=off", "vdi"),
    "static.vdi": ("vdi", "static=on", "vdi"),
    "flat.vmdk": ("vmdk", "subformat=monolithicFlat", "vmdk-flat"),
    "split.vmdk": ("vmdk", "subformat=twoGbMaxExtentSparse", "vmdk-split"),
    "split-flat.vmdk": ("vmdk", "subformat=twoGbMaxExtentFlat", "vmdk-flat"),
}
ONE_FILE = [name for name in KINDS if not name.endswith("vmdk")]


def raw_disk(folder: Path) -> Path:
    path = folder / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for place in (0, 700_001, (4 << 20) - 3, SIZE - 5000):
            file.seek(place)
            file.write(noise(5000, place))
    return path


def converted(raw: Path, name: str) -> Path:
    form, option, _ours = KINDS[name]
    tool("qemu-img", "convert", "-O", form, "-o", option, raw, raw.parent / name)
    return raw.parent / name


@pytest.mark.parametrize("name", KINDS)
def test_a_container_of_qemu_img_holds_the_same_disk(tmp_path, name):
    raw = raw_disk(tmp_path)
    with open_disk(converted(raw, name)) as disk:
        content = disk.read(0, disk.size)
        assert disk.format == KINDS[name][2]
        # VHD rounds a disk up to whole cylinders.
        assert content[:SIZE] == raw.read_bytes()
        assert not any(content[SIZE:])
        assert disk.read((4 << 20) - 7, 20) == content[(4 << 20) - 7 :][:20]
        assert by_extents(disk) == content


@pytest.mark.parametrize("name", ONE_FILE)
def test_a_container_is_read_in_place_inside_of_another_file(tmp_path, name):
    raw = raw_disk(tmp_path)
    content = converted(raw, name).read_bytes()
    outer = tmp_path / "outer"
    outer.write_bytes(noise(512) + content + noise(100))
    with open_disk(outer, 512, len(content)) as disk:
        assert disk.read(0, SIZE) == raw.read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_a_container_that_is_cut_off_or_changed_is_read_or_refused(tmp_path, name):
    path = converted(raw_disk(tmp_path), name)
    content = path.read_bytes()
    source = random.Random(name)
    # What matters stands in these places; the rest is the guest's own.
    heads = [place for place in range(0, len(content), 65536) if any(content[place:][:512])]
    for turn in range(40):
        broken = bytearray(content)
        if turn % 3 == 0:
            del broken[source.randrange(len(content)) :]
        else:
            at = source.choice(heads[:12]) + source.choice((0, 340, 368, 512, 1024))
            for _change in range(4):
                broken[min(at + source.randrange(80), len(broken) - 1)] = source.choice(
                    (0, 1, 0x7F, 0xFF, source.randrange(256))
                )
        path.write_bytes(broken)
        reads_or_refuses(path, whole)


def test_a_fixed_vhd_with_a_wrong_sum_is_a_raw_disk(tmp_path):
    path = converted(raw_disk(tmp_path), "fixed.vhd")
    with path.open("r+b") as file:
        file.seek(-448, 2)
        file.write(b"\0\0\0\0")
    with open_disk(path) as disk:
        assert disk.format == "raw"


def test_a_vhdx_that_was_not_closed_is_refused(tmp_path):
    from regild.image.vhdx import crc32c

    path = converted(raw_disk(tmp_path), "dynamic.vhdx")
    content = bytearray(path.read_bytes())
    for at in (64 << 10, 128 << 10):
        content[at + 48] = 1
        content[at + 4 : at + 8] = bytes(4)
        content[at + 4 : at + 8] = crc32c(bytes(content[at : at + 4096])).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat, match="replayed"), open_disk(path):
        pass


def test_crc32c_is_that_of_the_standard():
    from regild.image.vhdx import crc32c

    assert crc32c(b"123456789") == 0xE3069283


def backed(folder: Path) -> Path:
    """A chain: top.qcow2, middle.qcow2, disk.raw."""
    raw = raw_disk(folder)
    create = ("qemu-img", "create", "-q", "-f", "qcow2")
    middle, top = folder / "middle.qcow2", folder / "top.qcow2"
    tool(*create, "-b", raw.name, "-F", "raw", middle, str(SIZE))
    tool("qemu-io", "-c", "write -P 7 1M 100k", "-c", "write -z 4M 128k", middle)
    tool(*create, "-o", "extended_l2=on", "-b", middle.name, "-F", "qcow2", top, str(SIZE + 65536))
    tool("qemu-io", "-c", "write -P 9 2M 3k", "-c", "write -z 700000 4096", top)
    return top


def test_a_chain_of_backing_files_reads_as_qemu_img_reads_it(tmp_path):
    top = backed(tmp_path)
    tool("qemu-img", "convert", "-O", "raw", top, tmp_path / "all.raw")
    with open_disk(top) as disk:
        content = disk.read(0, disk.size)
        assert content == (tmp_path / "all.raw").read_bytes()
        assert by_extents(disk) == content


def test_a_cycle_of_backing_files_is_refused(tmp_path):
    top = backed(tmp_path)
    # The middle's backing file becomes the top, with names of one length.
    tool("qemu-img", "rebase", "-u", "-b", "top.qcow2", "-F", "qcow2", tmp_path / "middle.qcow2")
    with pytest.raises(Malformed, match="twice"), open_disk(top):
        pass
    tool("qemu-img", "rebase", "-u", "-b", "top.qcow2", "-F", "qcow2", top)
    with pytest.raises(Malformed, match="twice"), open_disk(top):
        pass


def test_a_long_chain_of_backing_files_is_refused(tmp_path):
    names = [tmp_path / f"{number}.qcow2" for number in range(20)]
    tool("qemu-img", "create", "-q", "-f", "qcow2", names[0], "1M")
    for below, path in itertools.pairwise(names):
        path.write_bytes(names[0].read_bytes())
        tool("qemu-img", "rebase", "-u", "-b", below.name, "-F", "qcow2", path)
    assert len(content_of(names[10])) == 1 << 20
    with pytest.raises(RegildError, match="longer than 16"), open_disk(names[-1]):
        pass


@pytest.mark.parametrize("form", ["", "vmdk"])
def test_a_backing_file_of_no_stated_format_is_refused(tmp_path, form):
    top = backed(tmp_path)
    tool("qemu-img", "rebase", "-u", "-b", "disk.raw", "-F", "vmdk", top)
    if not form:
        # The extension's type becomes one that nobody knows.
        known, strange = bytes.fromhex("e2792aca"), bytes.fromhex("12345678")
        top.write_bytes(top.read_bytes().replace(known, strange, 1))
    with pytest.raises(ExternalFile, match="format"), open_disk(top):
        pass


def test_no_name_leads_out_of_the_folder(tmp_path):
    top = backed(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.raw").write_bytes(noise(4096))
    (tmp_path / "link.raw").symlink_to("outside/secret.raw")
    secret = outside / "secret.raw"
    for name in (str(secret), "outside/secret.raw", "link.raw", "../x", "..", "json:{}"):
        tool("qemu-img", "rebase", "-u", "-b", name, "-F", "raw", top)
        with pytest.raises((ExternalFile, RegildError)) as caught, open_disk(top):
            pass
        if name != "json:{}":
            assert isinstance(caught.value, ExternalFile)
        text = f'# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 8 FLAT "{name}" 0\n'
        (tmp_path / "flat.vmdk").write_text(text)
        with pytest.raises(RegildError), open_disk(tmp_path / "flat.vmdk"):
            pass


def test_a_disk_inside_of_an_archive_follows_no_name(tmp_path):
    top = backed(tmp_path)
    flat = converted(tmp_path / "disk.raw", "flat.vmdk")
    for path in (top, flat):
        content = path.read_bytes()
        outer = tmp_path / "outer"
        outer.write_bytes(bytes(512) + content)
        with pytest.raises(ExternalFile), open_disk(outer, 512, len(content)):
            pass


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["RW 8 FLAT"], RegildError),
        ([], Malformed),
        (['RW 99999999999999999 FLAT "disk.raw" 0'], Malformed),
        (['RW 8 FLAT "disk.raw" 99999999999999999'], Malformed),
        (['RW 8 FLAT "disk.raw" 0', 'RW 8 FLAT "disk.raw" 8'], Malformed),
        (['RW 8 FLAT "flat.vmdk" 0'], Malformed),
        (['RW 8 SPARSE "disk.raw"'], Malformed),
        (['RW 8 VMFSRDM "disk.raw"'], UnsupportedFormat),
        (['parentFileNameHint="disk.raw"', 'RW 8 FLAT "disk.raw" 0'], UnsupportedFormat),
        (['parentFileNameHint="/disk.vmdk"', 'RW 8 FLAT "disk.raw" 0'], ExternalFile),
        (["parentCID=12345678", 'RW 8 FLAT "disk.raw" 0'], ExternalFile),
        ([f"RW {1 << 40} ZERO"], RegildError),
    ],
)
def test_a_descriptor_that_cannot_be_right_is_refused(tmp_path, lines, error):
    raw_disk(tmp_path)
    head = ["# Disk DescriptorFile", 'createType="monolithicFlat"']
    (tmp_path / "flat.vmdk").write_text("\n".join([*head, *lines]))
    with pytest.raises(error), open_disk(tmp_path / "flat.vmdk"):
        pass


def test_a_part_of_zeros_lies_between_two_files(tmp_path):
    raw_disk(tmp_path)
    (tmp_path / "b.raw").write_bytes(noise(4096))
    lines = ['RW 8 FLAT "disk.raw" 2', "RW 8 ZERO", 'RW 4 FLAT "b.raw" 4']
    head = ["# Disk DescriptorFile", 'createType="twoGbMaxExtentFlat"']
    (tmp_path / "two.vmdk").write_text("\n".join([*head, *lines]))
    wanted = (tmp_path / "disk.raw").read_bytes()[1024:5120] + bytes(4096) + noise(4096)[2048:]
    with open_disk(tmp_path / "two.vmdk") as disk:
        assert disk.read(0, disk.size) == by_extents(disk) == wanted
        assert disk.read(4000, 5000) == wanted[4000:9000]
