from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from regild.errors import (
    Ambiguous,
    ExternalFile,
    Malformed,
    MissingFile,
    NotAnArchive,
    Truncated,
    UnsafeName,
)
from regild.ovf.archive import find_form, open_appliance
from tests.ovf.samples import envelope, write_folder, write_ova

DISK = b"12345"
FILES = {"vm.ovf": envelope(), "disk1.vmdk": DISK}


def test_an_ova_is_read_in_place(tmp_path: Path) -> None:
    path = write_ova(tmp_path / "x.ova", FILES)
    assert find_form(path) == "ova"
    with open_appliance(path) as appliance:
        source = appliance.disk_source(appliance.envelope.disks[0])
        assert source is not None
        (member,) = source.parts
        assert member.path == path
        assert member.read(10) == DISK
        assert path.read_bytes()[member.offset :][: member.bytes] == DISK
        assert appliance.form == "ova"
        assert appliance.warnings == ()
        assert list(appliance.members) == ["vm.ovf", "disk1.vmdk"]


def test_a_folder_and_its_envelope_are_the_same_package(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    for path in (tmp_path, tmp_path / "vm.ovf"):
        assert find_form(path) == "folder"
        with open_appliance(path) as appliance:
            assert appliance.path == tmp_path / "vm.ovf"
            assert appliance.form == "folder"
            assert appliance.members["disk1.vmdk"].read(10) == DISK


def test_r6_an_envelope_that_is_not_first_is_a_warning(tmp_path: Path) -> None:
    path = write_ova(tmp_path / "x.ova", dict(reversed(FILES.items())))
    with open_appliance(path) as appliance:
        assert appliance.warnings == ("vm.ovf is not the first file of the archive",)


def test_r6_two_envelopes_are_ambiguous_and_none_is_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(Ambiguous),
        open_appliance(write_ova(tmp_path / "x.ova", {**FILES, "b.ovf": b""})),
    ):
        pass
    with pytest.raises(MissingFile), open_appliance(write_ova(tmp_path / "y.ova", {"a": b""})):
        pass
    with (
        pytest.raises(MissingFile),
        open_appliance(write_folder(tmp_path / "folder", {"sub/vm.ovf": b""})),
    ):
        pass
    with (
        pytest.raises(Ambiguous),
        open_appliance(write_folder(tmp_path / "two", {"a.ovf": b"", "b.ovf": b""})),
    ):
        pass


@pytest.mark.parametrize(
    "name",
    ["../disk.vmdk", "/etc/passwd", "a/../../b", "a//b", "a\\b", "a\x01b", ".."],
)
def test_r6_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(UnsafeName), open_appliance(path):
        pass


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"S"])
def test_r6_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.ova"
    member = tarfile.TarInfo("disk1.vmdk")
    member.type = kind
    member.linkname = "/etc/passwd"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member)
    with pytest.raises(UnsafeName), open_appliance(path):
        pass


def test_r6_what_is_not_a_tar_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ova"
    for content, why in (
        (b"", "neither"),
        (b"KDMV" + bytes(1000), "neither"),
        (bytes(2048), "neither"),
        (gzip.compress(b"x" * 2000), "gzip"),
        (b"PK\x03\x04" + bytes(600), "zip"),
    ):
        path.write_bytes(content)
        assert find_form(path) is None
        with pytest.raises(NotAnArchive, match=why), open_appliance(path):
            pass
    with pytest.raises(MissingFile), open_appliance(tmp_path / "none"):
        pass
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotAnArchive):
        find_form(tmp_path / "fifo")


def test_r6_a_cut_archive_is_noticed_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = write_ova(tmp_path / "x.ova", FILES).read_bytes()
    used = len(whole.rstrip(b"\0"))
    path = tmp_path / "y.ova"
    for length in range(600, used, 100):
        path.write_bytes(whole[:length])
        with pytest.raises((Truncated, MissingFile)), open_appliance(path):
            pass


def test_r6_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = write_ova(tmp_path / "x.ova", FILES)
    content = bytearray(path.read_bytes())
    at = content.index(b"disk1.vmdk\0")
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(Malformed), open_appliance(path):
        pass


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_other_writers_are_read(tmp_path: Path, style: int) -> None:
    long_name = "d" * 140 + ".vmdk"
    files = {
        "./vm.ovf": envelope().replace(b"disk1.vmdk", b"folder/" + long_name.encode()),
        "._vm.ovf": b"",
        f"folder/{long_name}": DISK,
    }
    if style == tarfile.USTAR_FORMAT:
        files = {"./vm.ovf": envelope(), "disk1.vmdk": DISK}
    path = tmp_path / "x.ova"
    with tarfile.open(path, "w", format=style) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with open_appliance(path) as appliance:
        source = appliance.disk_source(appliance.envelope.disks[0])
        assert source is not None
        (member,) = source.parts
        assert member.read(10) == DISK


def test_a_member_twice_is_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "x.ova"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
        archive.addfile(tarfile.TarInfo("./a"))
    with pytest.raises(Ambiguous), open_appliance(path):
        pass


def reference(href: str) -> bytes:
    return envelope(files=f'<File ovf:id="file1" ovf:href="{href}" ovf:size="5"/>')


@pytest.mark.parametrize("form", ["ova", "folder"])
@pytest.mark.parametrize(
    ("href", "error"),
    [
        ("../disk1.vmdk", UnsafeName),
        ("%2e%2e/disk1.vmdk", UnsafeName),
        ("/etc/passwd", UnsafeName),
        ("a%00b", UnsafeName),
        ("http://mirror.example/disk1.vmdk", ExternalFile),
        ("file:///etc/passwd", ExternalFile),
        ("//mirror.example/x", ExternalFile),
        ("http://[x", Malformed),
        ("none.vmdk", MissingFile),
    ],
)
def test_r4_hrefs_stay_inside_the_package(
    tmp_path: Path, form: str, href: str, error: type[Exception]
) -> None:
    files = {"vm.ovf": reference(href), "disk1.vmdk": DISK}
    path = (
        write_ova(tmp_path / "x.ova", files)
        if form == "ova"
        else write_folder(tmp_path / "x", files)
    )
    with pytest.raises(error), open_appliance(path):
        pass
    with open_appliance(path, complete=False) as appliance:
        assert len(appliance.warnings) == 1


def test_r4_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DISK)
    folder = write_folder(tmp_path / "x", {"vm.ovf": envelope()})
    (folder / "disk1.vmdk").symlink_to("../secret")
    with pytest.raises(UnsafeName), open_appliance(folder):
        pass
    (folder / "disk1.vmdk").unlink()
    os.mkfifo(folder / "disk1.vmdk")
    with pytest.raises(UnsafeName), open_appliance(folder):
        pass


def test_r4_an_href_may_be_percent_encoded(tmp_path: Path) -> None:
    files = {"vm.ovf": reference("my%20disk.vmdk"), "my disk.vmdk": DISK}
    for path in (write_ova(tmp_path / "x.ova", files), write_folder(tmp_path / "x", files)):
        with open_appliance(path) as appliance:
            assert appliance.member_names() == ("my disk.vmdk",)


def test_r4_a_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for disk, error in ((b"1234", Truncated), (b"123456", Malformed)):
        path = write_ova(tmp_path / "x.ova", {"vm.ovf": envelope(), "disk1.vmdk": disk})
        with pytest.raises(error), open_appliance(path):
            pass


def test_r4_chunks_are_found_in_their_order(tmp_path: Path) -> None:
    chunked = envelope(
        files='<File ovf:id="file1" ovf:href="d.vmdk" ovf:size="5" ovf:chunkSize="3"/>'
    )
    files = {"vm.ovf": chunked, "d.vmdk.000000000": b"123", "d.vmdk.000000001": b"45"}
    for path in (write_ova(tmp_path / "x.ova", files), write_folder(tmp_path / "x", files)):
        with open_appliance(path) as appliance:
            assert appliance.member_names() == ("d.vmdk.000000000", "d.vmdk.000000001")
            source = appliance.disk_source(appliance.envelope.disks[0])
            assert source is not None
            assert [part.bytes for part in source.parts] == [3, 2]


def test_r4_a_name_longer_than_any_file_is_missing(tmp_path: Path) -> None:
    long = envelope(files=f'<File ovf:id="file1" ovf:href="{"x" * 300}"/>')
    path = write_folder(tmp_path / "x", {"vm.ovf": long})
    with pytest.raises(MissingFile), open_appliance(path):
        pass
    with open_appliance(path, complete=False) as appliance:
        assert len(appliance.warnings) == 1


def test_a_login_in_an_href_is_not_shown(tmp_path: Path) -> None:
    for scheme in ("https", "ftp"):
        href = f"{scheme}://somebody:secret@host.example/d.vmdk"
        far = envelope(files=f'<File ovf:id="file1" ovf:href="{href}"/>')
        path = write_folder(tmp_path / scheme, {"vm.ovf": far})
        with pytest.raises(ExternalFile) as caught, open_appliance(path):
            pass
        assert "secret" not in str(caught.value)
        assert "host.example" in str(caught.value)


def test_a_file_of_texts_may_lie_in_chunks(tmp_path: Path) -> None:
    files = '<File ovf:id="file1" ovf:href="disk1.vmdk"/>'
    files += '<File ovf:id="texts" ovf:href="texts.xml" ovf:chunkSize="20"/>'
    texts = b'<Strings><Msg msgid="name">Our machine</Msg></Strings>'
    content = envelope(files=files, extra='<Strings ovf:fileRef="texts"/>').replace(
        b"<Name>", b'<Name ovf:msgid="name">', 1
    )
    chunks = {f"texts.xml.{at // 20:09d}": texts[at : at + 20] for at in range(0, len(texts), 20)}
    path = write_folder(tmp_path / "x", {"vm.ovf": content, "disk1.vmdk": DISK, **chunks})
    with open_appliance(path) as appliance:
        assert appliance.name_of(appliance.envelope.systems[0].id) == "Our machine"


def test_a_vdi_disk_is_not_taken_for_an_envelope(tmp_path: Path) -> None:
    path = tmp_path / "x.vdi"
    path.write_bytes(b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(512, b"\0"))
    assert find_form(path) is None
