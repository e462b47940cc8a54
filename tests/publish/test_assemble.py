from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from regild.errors import IntegrityError, MissingFile, TargetExists
from regild.image.formats import open_disk
from regild.image.vmdk_stream import plan_stream
from regild.model.appliance import Binding, Descriptor, ReceiptReference
from regild.model.content import Content, Platform
from regild.model.digest import sha256_of
from regild.model.progress import Progress, Silent
from regild.ovf.archive import open_appliance
from regild.ovf.content import read_descriptor, strip_descriptor
from regild.ovf.manifest_check import check_manifest, manifest_notes
from regild.ovf.member import Member
from regild.ovf.template import write_envelope
from regild.publish.assemble import write_disk, write_folder, write_ova
from regild.publish.draft import Bom, Draft, NewDisk, Statement, draft_of, draft_of_disk
from regild.publish.stored import Copied, Written
from tests.ovf.samples import envelope, rich_descriptor, system
from tests.ovf.samples import write_folder as make_folder
from tests.ovf.samples import write_ova as make_ova

NEW = b"a new disk" * 1000
BOM = b'{"bomFormat": "CycloneDX"}'
TWO = {
    "files": '<File ovf:id="file1" ovf:href="disk1.vmdk" ovf:size="5"/>'
    '<File ovf:id="iso" ovf:href="tools.iso" ovf:size="3"/>'
    '<File ovf:id="file2" ovf:href="disk2.vmdk"/>',
    "disks": '<Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="10000" '
    'ovf:populatedSize="7" ovf:format="http://www.vmware.com/specifications/vmdk.html#sparse"/>'
    '<Disk ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:capacity="9"/>'
    '<Disk ovf:diskId="blank" ovf:capacity="9"/>',
    "systems": system("vm", "vmdisk1", "vmdisk2"),
}
FILES = {
    "vm.ovf": envelope(**TWO),
    "vm.mf": b"",
    "vm.cert": b"x",
    "disk1.vmdk": b"12345",
    "tools.iso": b"iso",
    "disk2.vmdk": bytes(3 << 20) + b"end",
    "readme.txt": b"hello",
}


def new_disk(content: bytes = NEW, format_: str = "vmdk-stream") -> NewDisk:
    return NewDisk(Written(content), format_, virtual_bytes=10000, populated_bytes=77)


def descriptor() -> Descriptor:
    content = Content(platform=Platform(id="debian", version="12"))
    bindings = (Binding(disk="vmdisk1", virtual_bytes=10000), Binding(disk="blank"))
    return Descriptor(content=content, bindings=bindings)


def draft(folder: Path, bom: Bom | None = None) -> Draft:
    with open_appliance(make_ova(folder / "in.ova", FILES)) as appliance:
        return draft_of(appliance, "out", {"vmdisk1": new_disk()}, {"vm": descriptor()}, bom)


def test_a_new_ova_holds_the_new_disk_and_everything_else_as_it_was(tmp_path: Path) -> None:
    made = write_ova(draft(tmp_path), tmp_path / "out.ova", Silent())
    content = made.path.read_bytes()
    assert made.digest == sha256_of(content)
    assert made.bytes == len(content)
    with tarfile.open(made.path, "r:") as archive:
        assert archive.getnames() == ["vm.ovf", "vm.mf", "disk1.vmdk", "tools.iso", "disk2.vmdk"]
    with open_appliance(made.path) as appliance:
        assert check_manifest(appliance, Silent()) == ()
        assert manifest_notes(appliance) == ()
        assert appliance.members["disk1.vmdk"].read(1 << 20) == NEW
        assert appliance.members["disk2.vmdk"].read(8 << 20) == FILES["disk2.vmdk"]
        found = read_descriptor(appliance.envelope_bytes)
        assert found is not None
        assert [one.stored for one in found.bindings] == [sha256_of(NEW), None]
        assert found.content == descriptor().content
        stripped = strip_descriptor(appliance.envelope_bytes)
    assert stripped == (
        FILES["vm.ovf"]
        .replace(b'ovf:size="5"', b'ovf:size="10000"')
        .replace(b'populatedSize="7"', b'populatedSize="77"')
        .replace(
            b"http://www.vmware.com/specifications/vmdk.html#sparse",
            b"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
        )
    )


def test_w6_a_signature_of_the_old_manifest_is_left_out_and_said(tmp_path: Path) -> None:
    made = write_ova(draft(tmp_path), tmp_path / "out.ova", Silent())
    assert made.notes == (
        "vm.cert is left out: it signs the old manifest",
        "readme.txt is left out: the envelope does not refer to it",
    )


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    first = write_ova(draft(tmp_path), tmp_path / "a.ova", Silent())
    second = write_ova(draft(tmp_path), tmp_path / "b.ova", Silent())
    assert first.digest == second.digest


def test_a_statement_about_the_disks_lies_beside_and_is_named(tmp_path: Path) -> None:
    def write(digests: dict[str, str]) -> bytes:
        return repr(sorted(digests.items())).encode()

    told = replace(draft(tmp_path), statement=Statement("out.receipt.json", write, bytes.upper))
    made = write_ova(told, tmp_path / "out.ova", Silent())
    said = write({"disk1.vmdk": sha256_of(NEW), "disk2.vmdk": sha256_of(FILES["disk2.vmdk"])})
    assert (tmp_path / "out.receipt.json").read_bytes() == said.upper()
    assert [one.path.name for one in made.sidecars] == ["out.receipt.json"]
    with open_appliance(made.path) as appliance:
        found = read_descriptor(appliance.envelope_bytes)
    assert found is not None
    assert found.receipt == ReceiptReference("out.receipt.json", sha256_of(said))
    folder = write_folder(told, tmp_path / "folder", Silent())
    assert (folder.path / "out.receipt.json").read_bytes() == said.upper()


def test_w8_a_bill_of_materials_lies_beside_or_inside(tmp_path: Path) -> None:
    beside = write_ova(draft(tmp_path, Bom(BOM)), tmp_path / "out.ova", Silent())
    assert (tmp_path / "out.cdx.json").read_bytes() == BOM
    assert [one.path.name for one in beside.sidecars] == ["out.cdx.json"]
    (tmp_path / "out.cdx.json").unlink()
    inside = write_ova(draft(tmp_path, Bom(BOM, "package")), tmp_path / "in2.ova", Silent())
    with open_appliance(inside.path) as appliance:
        assert list(appliance.members)[-1] == "out.cdx.json"
        assert appliance.members["out.cdx.json"].read(100) == BOM
        assert check_manifest(appliance, Silent()) == ()
        assert manifest_notes(appliance) == ()
        found = read_descriptor(appliance.envelope_bytes)
        assert found is not None
        assert found.bom.location == "package"
        assert found.bom.digest == sha256_of(BOM)
        again = draft_of(appliance, "again", {}, {"vm": descriptor()})
    assert "out.cdx.json" not in again.files
    assert not (tmp_path / "out.cdx.json").exists()


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    made = write_folder(draft(tmp_path, Bom(BOM)), target, Silent())
    assert sorted(path.name for path in target.iterdir()) == [
        "disk1.vmdk",
        "disk2.vmdk",
        "out.cdx.json",
        "tools.iso",
        "vm.mf",
        "vm.ovf",
    ]
    assert made.bytes == sum(p.stat().st_size for p in target.iterdir()) - len(BOM)
    with open_appliance(target) as appliance:
        assert check_manifest(appliance, Silent()) == ()
        assert appliance.members["disk1.vmdk"].read(1 << 20) == NEW
    with pytest.raises(TargetExists):
        write_folder(draft(tmp_path), target, Silent())
    write_folder(draft(tmp_path), target, Silent(), replace=True)
    assert not (target / "out.cdx.json").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_run_left_is_removed_and_a_living_one_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f".out.{'0' * 16}.part"
    living = tmp_path / f".out.{'1' * 16}.part"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    handle = os.open(living, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        write_folder(draft(tmp_path), tmp_path / "out", Silent())
    finally:
        os.close(handle)
    assert not dead.exists()
    assert living.exists()


class Lying:
    """A file that is not as long as it says."""

    bytes = 5

    def write_to(
        self,
        file: IO[bytes],
        hash_update: Callable[[memoryview], object] | None = None,
        progress: Progress | None = None,
    ) -> None:
        file.write(b"1234")


def test_nothing_appears_when_writing_fails(tmp_path: Path) -> None:
    with open_appliance(make_ova(tmp_path / "in.ova", FILES)) as appliance:
        disk = NewDisk(Lying(), "vmdk-stream", 10000)
        failing = draft_of(appliance, "out", {"vmdisk1": disk}, {"vm": descriptor()}, Bom(BOM))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError):
        write_ova(failing, tmp_path / "out.ova", Silent())
    with pytest.raises(IntegrityError):
        write_folder(failing, tmp_path / "out", Silent())
    with pytest.raises(IntegrityError):
        write_disk(draft_of_disk("out.vmdk", disk, descriptor()), tmp_path / "out.vmdk", Silent())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".ova", ".vmdk"])
def test_what_stands_beside_does_not_appear_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path, link = tmp_path / f"out{suffix}", os.link

    def interrupted(source: str, target: str, **more: Any) -> None:
        if Path(target).name == path.name:  # it is linked by its folder's handle
            raise KeyboardInterrupt
        link(source, target, **more)

    made = draft(tmp_path, Bom(BOM))
    if suffix == ".vmdk":
        made = draft_of_disk(path.name, new_disk(), descriptor(), Bom(BOM))
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        (write_ova if suffix == ".ova" else write_disk)(made, path, Silent())
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_is_not_there_cannot_be_new(tmp_path: Path) -> None:
    with open_appliance(make_ova(tmp_path / "in.ova", FILES)) as appliance:
        for disk in ("blank", "none"):
            with pytest.raises(MissingFile):
                draft_of(appliance, "out", {disk: new_disk()}, {})


def test_a_disk_of_another_format_gets_another_name(tmp_path: Path) -> None:
    with open_appliance(make_ova(tmp_path / "in.ova", FILES)) as appliance:
        made = draft_of(appliance, "out", {"vmdisk1": new_disk(format_="qcow2")}, {})
    assert "disk1.qcow2" in made.files
    assert b'ovf:href="disk1.qcow2"' in made.base


def test_an_encoded_name_stays_the_same_file(tmp_path: Path) -> None:
    content = envelope().replace(b"disk1.vmdk", b"my%20disk.vmdk")
    folder = make_folder(tmp_path / "in", {"vm.ovf": content, "my disk.vmdk": b"12345"})
    with open_appliance(folder) as appliance:
        made = draft_of(appliance, "out", {"vmdisk1": new_disk()}, {"vm": descriptor()})
    write_folder(made, tmp_path / "out", Silent())
    with open_appliance(tmp_path / "out") as appliance:
        assert check_manifest(appliance, Silent()) == ()
        assert appliance.members["my disk.vmdk"].read(1 << 20) == NEW


def test_a_bare_disk_gets_an_envelope_beside_it(tmp_path: Path) -> None:
    disk = NewDisk(Written(NEW), "qcow2", virtual_bytes=1 << 30)
    made = write_disk(
        draft_of_disk("golden image.qcow2", disk, rich_descriptor(), Bom(BOM)),
        tmp_path / "golden image.qcow2",
        Silent(),
    )
    assert made.digest == sha256_of(NEW)
    assert [one.path.name for one in made.sidecars] == [
        "golden image.ovf",
        "golden image.mf",
        "golden-image.cdx.json",
    ]
    with open_appliance(tmp_path / "golden image.ovf") as appliance:
        found = read_descriptor(appliance.envelope_bytes)
        assert found is not None
        assert found.bindings[0].stored == sha256_of(NEW)
        assert found.content == rich_descriptor().content
        only = appliance.envelope.systems[0]
        assert only.disks == (found.bindings[0].disk,)
        assert appliance.envelope.disks[0].capacity_bytes == 1 << 30
        content = appliance.envelope_bytes
    again = draft_of_disk("next.qcow2", disk, rich_descriptor(), envelope=content)
    assert b'ovf:href="next.qcow2"' in again.base
    assert strip_descriptor(content).replace(b"golden image.qcow2", b"next.qcow2") == again.base


def test_a_copied_file_keeps_its_holes(tmp_path: Path) -> None:
    path = tmp_path / "sparse.img"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"x")
    disk = NewDisk(Copied((Member("x", path, 0, 64 << 20),)), "raw", 64 << 20)
    out = tmp_path / "out.img"
    made = write_disk(draft_of_disk("out.img", disk, descriptor()), out, Silent())
    assert made.digest == sha256_of(path.read_bytes())
    assert out.read_bytes() == path.read_bytes()
    assert out.stat().st_blocks * 512 < 4 << 20


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")
def test_a_stream_written_into_an_ova_is_what_qemu_reads(tmp_path: Path) -> None:
    raw = tmp_path / "disk.img"
    raw.write_bytes(os.urandom(100_000) + bytes(3_000_000) + b"end" * 1000 + bytes(96_000))
    with open_disk(raw) as disk, plan_stream(None, disk, scratch=tmp_path) as stream:
        new = NewDisk(stream, "vmdk-stream", virtual_bytes=disk.size)
        made = write_ova(
            draft_of_disk("disk.vmdk", new, descriptor()), tmp_path / "out.ova", Silent()
        )
    with open_appliance(made.path) as appliance:
        assert check_manifest(appliance, Silent()) == ()
        member = appliance.members["disk.vmdk"]
        (tmp_path / "disk.vmdk").write_bytes(member.read(1 << 24))
    subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, tmp_path / "disk.vmdk"], check=True
    )


@pytest.mark.skipif(not shutil.which("virt-v2v"), reason="virt-v2v is not installed")
def test_virt_v2v_reads_a_new_ova(tmp_path: Path) -> None:
    made = write_ova(draft(tmp_path), tmp_path / "out.ova", Silent())
    subprocess.run(
        ["virt-v2v", "-i", "ova", made.path, "-o", "null", "--print-source"],
        check=True,
        env={**os.environ, "LIBGUESTFS_BACKEND": "direct"},
    )


@pytest.mark.skipif(not shutil.which("cot"), reason="COT is not installed")
def test_cot_keeps_the_section_when_it_rewrites_the_package(tmp_path: Path) -> None:
    product = b"<ProductSection><Info>i</Info><Product>p</Product></ProductSection>"
    end = b"</VirtualHardwareSection>"
    plain = write_envelope("vm", "disk1.vmdk", 5, 10000, "vmdk-stream")
    files = {"vm.ovf": plain.replace(end, end + product), "disk1.vmdk": b"12345"}
    with open_appliance(make_ova(tmp_path / "in.ova", files)) as appliance:
        drafted = draft_of(appliance, "out", {}, {"vm": descriptor()})
    made = write_ova(drafted, tmp_path / "out.ova", Silent())
    rewritten = tmp_path / "cot.ova"
    subprocess.run(["cot", "-f", "edit-product", made.path, "-o", rewritten, "-v", "1"], check=True)
    with open_appliance(made.path) as before, open_appliance(rewritten) as after:
        assert read_descriptor(after.envelope_bytes) == read_descriptor(before.envelope_bytes)


def test_what_came_under_its_name_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.ova"

    class Meanwhile(Silent):
        def step(self, name: str, total: int | None = None) -> None:
            out.write_bytes(b"another run's")

    with pytest.raises(TargetExists):
        write_ova(draft(tmp_path), out, Meanwhile(), replace=False)
    assert out.read_bytes() == b"another run's"
    write_ova(draft(tmp_path), out, Meanwhile())
    assert out.read_bytes() != b"another run's"
