from __future__ import annotations

import pytest

from regild.errors import Ambiguous, Malformed, MissingFile, UnsafeName, UnsupportedFormat
from regild.model.appliance import DiskReference, FileReference
from regild.ovf.envelope import read_envelope, unit_bytes
from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes, remove_file
from tests.ovf.samples import OVF_1, envelope, system

DRAFT = b"""<?xml version="1.0" encoding="UTF-8"?>
<ovf:Envelope xmlns:ovf="http://www.vmware.com/schema/ovf/1/envelope" ovf:version="0.9"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:rasd="urn:rasd">
  <References><File ovf:href="a.vmdk" ovf:id="file1" ovf:size="5"/></References>
  <Section xsi:type="ovf:DiskSection_Type"><Info>i</Info>
    <Disk ovf:capacity="4" ovf:capacityAllocationUnits="GigaBytes" ovf:diskId="d"
      ovf:fileRef="file1"/>
  </Section>
  <Content ovf:id="top" xsi:type="ovf:VirtualSystemCollection_Type"><Info>i</Info>
    <Content ovf:id="vm" xsi:type="ovf:VirtualSystem_Type"><Info>i</Info>
      <Section xsi:type="ovf:VirtualHardwareSection_Type"><Info>i</Info>
        <Item><rasd:HostResource>disk/d</rasd:HostResource></Item></Section>
    </Content>
  </Content>
</ovf:Envelope>"""


def test_r1_the_three_generations_are_read_and_others_refused() -> None:
    assert read_envelope(envelope()).version == "1"
    assert read_envelope(envelope().replace(b"envelope/1", b"envelope/2")).version == "2"
    assert read_envelope(DRAFT).version == "0.9"
    with pytest.raises(UnsupportedFormat):
        read_envelope(envelope().replace(b"envelope/1", b"envelope/3"))
    with pytest.raises(UnsupportedFormat):
        read_envelope(b"<Envelope/>")
    with pytest.raises(Malformed):
        read_envelope(b"<html/>")


def test_r2_prefixes_do_not_matter_and_unqualified_attributes_are_read() -> None:
    plain = read_envelope(envelope())
    other = (
        envelope()
        .replace(b"ovf:", b"o:")
        .replace(b"xmlns:ovf", b"xmlns:o")
        .replace(b"o:/disk", b"ovf:/disk")
        .replace(b'o:href="', b'href="')
    )
    assert read_envelope(other) == plain
    assert plain.systems[0].disks == ("vmdisk1",)


def test_r3_unknown_required_sections_are_named() -> None:
    extra = """<x:Odd xmlns:x="urn:x"><Info/></x:Odd><x:Fine xmlns:x="urn:x" ovf:required="false"/>
    <EncryptionSection><Info/></EncryptionSection><AnnotationSection><Info/></AnnotationSection>
    <v:Placement xmlns:v="http://www.vmware.com/schema/ovf"/>"""
    assert read_envelope(envelope(extra=extra)).requires == (
        "{urn:x}Odd",
        f"{{{OVF_1}}}EncryptionSection",
    )


@pytest.mark.parametrize(
    "files",
    [
        '<File ovf:id="file1" ovf:href="a"/><File ovf:id="file1" ovf:href="b"/>',
        '<File ovf:id="file1" ovf:href="a"/><File ovf:id="file2" ovf:href="a"/>',
        '<File ovf:id="file1"/>',
        '<File ovf:href="a"/>',
        '<File ovf:id="other" ovf:href="a"/>',
        '<File ovf:id="file1" ovf:href="a" ovf:chunkSize="-3"/>',
    ],
)
def test_r4_references_must_be_whole_and_single(files: str) -> None:
    with pytest.raises(Malformed):
        read_envelope(envelope(files=files))


def test_r4_chunks_and_compression_are_read() -> None:
    files = '<File ovf:id="file1" ovf:href="a" ovf:chunkSize="10" ovf:compression="gzip"/>'
    same = '<File ovf:id="f2" ovf:href="b" ovf:compression="identity" ovf:size="-4"/>'
    assert read_envelope(envelope(files=files + same)).files == (
        FileReference(id="file1", href="a", compression="gzip", chunk_bytes=10),
        FileReference(id="f2", href="b"),
    )


@pytest.mark.parametrize(
    ("unit", "count"),
    [
        ("", 1),
        ("byte", 1),
        ("byte * 2^30", 1 << 30),
        ("byte*2^20", 1 << 20),
        ("byte * 10^9", 10**9),
        ("MegaBytes", 1 << 20),
        ("GigaBytes", 1 << 30),
        ("fathoms", None),
        ("byte * 2^-1", None),
    ],
)
def test_r7_units(unit: str, count: int | None) -> None:
    assert unit_bytes(unit) == count


def test_r7_capacities_and_parents() -> None:
    disks = """<Disk ovf:diskId="a" ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20"/>
    <Disk ovf:diskId="b" ovf:capacity="${size}" ovf:parentRef="a"/>
    <Disk ovf:diskId="c" ovf:capacity="99999999999" ovf:capacityAllocationUnits="byte * 99^99"/>"""
    assert read_envelope(envelope(disks=disks)).disks == (
        DiskReference(id="a", capacity_bytes=3 << 20),
        DiskReference(id="b", parent="a"),
        DiskReference(id="c"),
    )


@pytest.mark.parametrize(
    "disks",
    [
        '<Disk ovf:diskId="a" ovf:parentRef="b"/><Disk ovf:diskId="b" ovf:parentRef="a"/>',
        '<Disk ovf:diskId="a" ovf:parentRef="a"/>',
        '<Disk ovf:diskId="a" ovf:parentRef="none"/>',
        '<Disk ovf:capacity="1"/>',
    ],
)
def test_r7_a_disk_is_not_its_own_ancestor(disks: str) -> None:
    with pytest.raises(Malformed):
        read_envelope(envelope(disks=disks))


def test_r7_systems_nest_and_may_be_many() -> None:
    nested = (
        f'<VirtualSystemCollection ovf:id="c"><Info/>{system("a", "vmdisk1")}'
        f'<VirtualSystemCollection ovf:id="d"><Info/>{system("b")}</VirtualSystemCollection>'
        f"{system('e')}</VirtualSystemCollection>"
    )
    found = read_envelope(envelope(systems=nested)).systems
    assert [(one.id, one.disks) for one in found] == [("a", ("vmdisk1",)), ("b", ()), ("e", ())]
    assert read_envelope(DRAFT).systems[0].disks == ("d",)
    assert read_envelope(DRAFT).disks[0].capacity_bytes == 4 << 30


def test_a_disk_named_by_its_file_is_found() -> None:
    machine = system("vm", "x").replace("ovf:/disk/x", "ovf:/file/file1")
    assert read_envelope(envelope(systems=machine)).systems[0].disks == ("vmdisk1",)


def test_r8_sizes_are_patched_and_nothing_else_changes() -> None:
    original = envelope()
    patched = patch_sizes(
        original, {"file1": 123456}, {"vmdisk1": DiskPatch(populated_bytes=99, format="new")}
    )
    expected = (
        original.replace(b'ovf:size="5"', b'ovf:size="123456"')
        .replace(b'populatedSize="7"', b'populatedSize="99"')
        .replace(b'format="x"', b'format="new"')
    )
    assert patched == expected


def test_r8_a_capacity_keeps_its_unit_where_it_can() -> None:
    grown = patch_sizes(envelope(), {}, {"vmdisk1": DiskPatch(capacity_bytes=5 << 30)})
    assert b'capacity="5" ovf:capacityAllocationUnits="byte * 2^30"' in grown
    odd = patch_sizes(envelope(), {}, {"vmdisk1": DiskPatch(capacity_bytes=5000)})
    assert b'capacity="5000" ovf:capacityAllocationUnits="byte"' in odd


def test_w3_a_file_is_added_after_all_others_and_taken_out_again() -> None:
    for original in (
        envelope(),
        envelope(disks='<Disk ovf:diskId="a"/>').replace(
            b'<File ovf:id="file1" ovf:href="disk1.vmdk" ovf:size="5"/>', b""
        ),
        DRAFT,
    ):
        added = add_file(original, "regild-inventory-1", "vm.cdx.json", 77)
        assert read_envelope(added).files[-1] == FileReference(
            id="regild-inventory-1", href="vm.cdx.json", bytes=77
        )
        assert remove_file(added, "regild-inventory-1") == original


def test_w3_names_are_plain_and_free() -> None:
    with pytest.raises(UnsafeName):
        add_file(envelope(), "x", "a b/c.json", 1)
    with pytest.raises(Ambiguous):
        add_file(envelope(), "file1", "new.json", 1)
    with pytest.raises(MissingFile):
        add_file(f'<Envelope xmlns="{OVF_1}"/>'.encode(), "x", "new.json", 1)
