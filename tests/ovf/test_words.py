"""Properties that stand for a capacity, and texts that stand in message bundles."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.ovf.archive import open_appliance
from regild.ovf.envelope import read_envelope
from tests.ovf.samples import envelope, system, write_folder, write_ova

DISK = """<Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="${%s}"
  ovf:capacityAllocationUnits="byte * 2^30"/>"""
PRODUCT = """<ProductSection%s><Info>i</Info><Category>c</Category>
  <Property ovf:key="size" ovf:type="int" %s</ProductSection>"""


def capacity(name: str, *products: str) -> int | None:
    content = envelope(disks=DISK % name, extra="".join(products))
    return read_envelope(content).disks[0].capacity_bytes


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("size", ""),
        ("com.x.app.size", ' ovf:class="com.x.app"'),
        ("com.x.app.size.2", ' ovf:class="com.x.app" ovf:instance="2"'),
    ],
)
def test_r7_a_capacity_may_be_a_property(name: str, around: str) -> None:
    assert capacity(name, PRODUCT % (around, 'ovf:value="5"/>')) == 5 << 30
    assert capacity("other", PRODUCT % (around, 'ovf:value="5"/>')) is None


def test_r7_a_property_may_have_its_value_as_an_element() -> None:
    one = PRODUCT % ("", '><Value ovf:value="6" ovf:configuration="a"/></Property>')
    assert capacity("size", one) == 6 << 30


@pytest.mark.parametrize("value", ["many", "", "-1", "9" * 30, "${size}"])
def test_r7_a_property_that_is_no_size_leaves_it_open(value: str) -> None:
    assert capacity("size", PRODUCT % ("", f'ovf:value="{value}"/>')) is None


def test_r7_two_values_in_two_places_leave_it_open() -> None:
    assert capacity("size", *(PRODUCT % ("", f'ovf:value="{n}"/>') for n in "55")) == 5 << 30
    assert capacity("size", *(PRODUCT % ("", f'ovf:value="{n}"/>') for n in "56")) is None


def test_r7_a_property_of_the_system_itself_counts() -> None:
    inside = system("vm", "vmdisk1").replace(
        "<VirtualHardware", PRODUCT % ("", 'ovf:value="7"/>') + "<VirtualHardware"
    )
    found = read_envelope(envelope(disks=DISK % "size", systems=inside))
    assert found.disks[0].capacity_bytes == 7 << 30


# Message bundles

NAMED = system("vm", "vmdisk1").replace("<Name>vm", '<Name ovf:msgid="n">vm')


def bundle(language: str, text: str, more: str = "") -> str:
    said = f' xml:lang="{language}"' if language else ""
    return f'<Strings{said}{more}><Msg ovf:msgid="n">{text}</Msg></Strings>'


def with_bundles(*bundles: str, language: str = "") -> bytes:
    content = envelope(systems=NAMED + "".join(bundles))
    said = f'<Envelope xml:lang="{language}"' if language else "<Envelope"
    return content.replace(b"<Envelope", said.encode())


@pytest.mark.parametrize(
    ("bundles", "language", "name"),
    [
        ((), "", "vm"),
        ((bundle("", "A web server"),), "", "A web server"),
        ((bundle("de", "Ein Webserver"), bundle("en", "A web server")), "EN", "A web server"),
        ((bundle("de", "Ein Webserver"), bundle("en", "A web server")), "", "Ein Webserver"),
        (('<Strings xml:lang="en"><Msg ovf:msgid="x">y</Msg></Strings>',), "en", "vm"),
    ],
)
def test_a_name_is_read_in_the_language_of_its_package(
    bundles: tuple[str, ...], language: str, name: str
) -> None:
    (system,) = read_envelope(with_bundles(*bundles, language=language)).systems
    assert system.name == name


BUNDLE = (
    b'<?xml version="1.0"?><Strings xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    b'xmlns="http://schemas.dmtf.org/ovf/envelope/1">'
    b'<Msg ovf:msgid="n">A web server</Msg></Strings>'
)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (BUNDLE, "A web server"),
        (b"<Strings/>", "vm"),
        (b"<Strings", "vm"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><Strings/>', "vm"),
        (b"<Strings>" + b"x" * (1 << 20) + b"</Strings>", "vm"),
        (None, "vm"),
    ],
)
def test_a_bundle_may_be_a_file_of_its_own(
    tmp_path: Path, content: bytes | None, name: str
) -> None:
    files = '<File ovf:id="file1" ovf:href="d.vmdk"/><File ovf:id="words" ovf:href="en.msgs"/>'
    ovf = envelope(systems=NAMED + '<Strings xml:lang="en" ovf:fileRef="words"/>', files=files)
    members = {"x.ovf": ovf, "d.vmdk": b"disk"} | ({"en.msgs": content} if content else {})
    for path in (write_ova(tmp_path / "x.ova", members), write_folder(tmp_path / "x", members)):
        with open_appliance(path, complete=False) as appliance:
            assert appliance.name_of("vm") == name
            assert appliance.name_of("none") == ""
