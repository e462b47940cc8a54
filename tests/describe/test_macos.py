"""What macOS says of itself, in trees of its own layout and on filesystems of its own."""

import contextlib
import plistlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe.macos import DATA, PROGRAMS, RECEIPTS, UPDATE_SETTINGS, VERSION, parse
from regild.describe.reader import describe_guest
from regild.errors import Malformed
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.model.content import Application
from tests.describe.guests import MemoryTree, guest
from tests.image.disks import blank, tool

SYSTEM = {"ProductName": "macOS", "ProductVersion": "14.6.1", "ProductBuildVersion": "23G93"}
RECEIPT = {"PackageIdentifier": "com.apple.pkg.CLTools_Executables", "PackageVersion": "15.3.0.0.1"}
BUNDLE = {"CFBundleName": "Editor", "CFBundleShortVersionString": "4.2"}
MAC = {
    VERSION: plistlib.dumps(SYSTEM),
    f"{RECEIPTS}/com.apple.pkg.CLTools_Executables.plist": plistlib.dumps(RECEIPT),
    f"{RECEIPTS}/com.apple.pkg.CLTools_Executables.bom": b"BOMStore",
    f"{PROGRAMS}/Editor.app/Contents/Info.plist": plistlib.dumps(BUNDLE, fmt=plistlib.FMT_BINARY),
}


def described(files):
    return describe_guest(guest(MemoryTree(files)))


def check(content):
    platform = content.platform
    assert (platform.family, platform.id, platform.version) == ("macos", "macos", "14.6.1")
    assert (platform.name, platform.build) == ("macOS 14.6.1", "23G93")
    assert [(one.type, one.name, one.version) for one in content.packages] == [
        ("macos", "com.apple.pkg.CLTools_Executables", "15.3.0.0.1")
    ]
    assert [(one.name, one.version) for one in content.applications] == [("Editor", "4.2")]


def test_version_receipts_and_programs_are_read():
    content = described(MAC)
    check(content)
    assert content.unknowns == ()
    where = f"{PROGRAMS}/Editor.app/Contents/Info.plist"
    assert content.applications == (Application("Editor", "4.2", where, "bundle"),)


def test_what_stands_on_the_volume_of_data_counts():
    moved = {path if path == VERSION else f"{DATA}{path}": text for path, text in MAC.items()}
    check(described(moved))


def test_an_update_server_of_the_site_is_a_source():
    settings = {"CatalogURL": "https://a:b@updates.example/index.sucatalog"}
    (source,) = described({**MAC, UPDATE_SETTINGS: plistlib.dumps(settings)}).sources
    assert (source.type, source.uri) == (
        "softwareupdate",
        "https://updates.example/index.sucatalog",
    )
    assert source.options == ("credentials=removed",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<plist><array/></plist>",
        b'<!DOCTYPE plist [<!ENTITY a "b">]><plist><dict><key>&a;</key><string/></dict></plist>',
        plistlib.dumps({**SYSTEM, "ProductVersion": "\x1b[2J"}, fmt=plistlib.FMT_BINARY),
        b"<plist>" + b"<dict><key>a</key>" * 40_000,
        b"bplist00" + bytes(40),
    ],
)
def test_a_version_that_cannot_be_read_is_unknown_and_never_an_empty_list(content):
    found = described({**MAC, VERSION: content})
    assert [one.where for one in found.unknowns][:1] == [VERSION]


def test_a_receipt_that_cannot_be_read_is_unknown_and_the_others_count():
    content = described({**MAC, f"{RECEIPTS}/b.plist": b"?", f"{RECEIPTS}/c.plist": b"<plist/>"})
    assert len(content.packages) == 1
    assert [one.where for one in content.unknowns] == [
        f"{RECEIPTS}/b.plist",
        f"{RECEIPTS}/c.plist",
    ]


def test_a_mac_without_receipts_is_unknown():
    content = described({VERSION: MAC[VERSION]})
    assert [one.where for one in content.unknowns] == [RECEIPTS]


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=80).map(lambda x: b"bplist00" + x)))
def test_any_property_list_is_read_or_refused(content):
    with contextlib.suppress(Malformed):
        assert isinstance(parse(content, "x"), dict)


def filled(folder):
    for path, content in MAC.items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (folder / "private/etc").mkdir()
    (folder / "etc").symlink_to("private/etc")
    return folder


def test_a_mac_on_hfs_plus_is_read(tmp_path):
    """xorriso writes the filesystem beside an ISO 9660 of the same files; cut out, it is a disk."""
    made = tmp_path / "both.iso"
    tool("xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-o", made, filled(tmp_path / "tree"))
    content = made.read_bytes()
    entry = content.index(b"Apple_HFS") - 48
    start, sectors = struct.unpack_from(">II", content, entry + 8)
    size = struct.unpack_from(">H", content, 2)[0] if content[:2] == b"ER" else 2048
    begin = start * size
    assert content[begin + 1024 : begin + 1026] == b"H+"
    image = tmp_path / "disk"
    image.write_bytes(content[begin : begin + sectors * size])
    with open_disk(image) as disk, open_guest(disk) as found:
        assert found.volumes[0].filesystem == "hfsplus"
        check(describe_guest(found))
        assert found.tree.find("/etc").target == "private/etc"
        assert found.tree.read("/SYSTEM/library/CoreServices/SystemVersion.plist", 9999)


def test_a_mac_on_apfs_is_read(tmp_path):
    """Written by the library that reads it, so that only the way through it is shown."""
    from fs_explorer.create.dmg import create

    sources = sorted(filled(tmp_path / "tree").iterdir())
    image = tmp_path / "disk.dmg"
    create(image, sources, size="32m", fs="apfs", format="UDRW", volname="Macintosh HD")
    with open_disk(image) as disk, open_guest(disk) as found:
        assert {one.filesystem for one in found.volumes} >= {"apfs"}
        check(describe_guest(found))


def test_a_mac_that_was_not_shut_down_is_said(tmp_path):
    made = tmp_path / "both.iso"
    tool("xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-o", made, filled(tmp_path / "tree"))
    content = bytearray(made.read_bytes())
    begin = content.index(b"H+\x00\x04") - 1024
    attributes = struct.unpack_from(">I", content, begin + 1028)[0]
    struct.pack_into(">I", content, begin + 1028, attributes & ~0x100)
    image = blank(tmp_path / "disk", len(content) - begin)
    image.write_bytes(content[begin:])
    with open_disk(image) as disk, open_guest(disk) as found:
        assert "not shut down cleanly" in found.unknowns[0].why
