from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import Ambiguous, Malformed, TooLarge
from regild.model.appliance import ManifestEntry
from regild.model.digest import Digest, sha256_of
from regild.model.progress import Silent
from regild.ovf import manifest
from regild.ovf.archive import open_appliance
from regild.ovf.manifest import read_manifest, write_manifest
from regild.ovf.manifest_check import check_manifest, manifest_notes
from tests.ovf.samples import envelope, write_folder

HEX = "ab" * 32


@pytest.mark.parametrize(
    "line",
    [
        f"SHA256(a.ovf)= {HEX}",
        f"SHA256(a.ovf)={HEX}",
        f"SHA256 (a.ovf) = {HEX.upper()}",
        f"SHA2-256(a.ovf)= {HEX}",
        f"\r\nSHA256(a.ovf)= {HEX}\r\n\r\n",
    ],
)
def test_r5_what_the_field_writes_is_read(line: str) -> None:
    assert read_manifest(line.encode()) == (ManifestEntry("a.ovf", Digest(f"sha256:{HEX}")),)


def test_r5_the_last_bracket_ends_the_name() -> None:
    assert read_manifest(f"SHA1(a (1).vmdk)= {'0' * 40}".encode())[0].name == "a (1).vmdk"


@pytest.mark.parametrize(
    "line",
    ["hello", f"MD5(a)= {'0' * 32}", f"SHA256(a)= {'0' * 40}", f"SHA256()= {HEX}", "SHA1(a)= zz"],
)
def test_r5_other_lines_are_refused(line: str) -> None:
    with pytest.raises(Malformed):
        read_manifest(line.encode())


def test_r5_bounds() -> None:
    with pytest.raises(TooLarge):
        read_manifest(b"\n" * (manifest.MAX_BYTES + 1))
    with pytest.raises(Malformed):
        read_manifest(b"\xff\xfe")
    with pytest.raises(Ambiguous):
        read_manifest(f"SHA256(a)= {HEX}\nSHA256(a)= {'0' * 64}\n".encode())


def test_w4_lines_are_written_exactly() -> None:
    digest = sha256_of(b"x")
    assert write_manifest([ManifestEntry("a.ovf", digest)]) == (
        b"SHA256(a.ovf)= 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n"
    )
    for entry in (ManifestEntry("a\nb", digest), ManifestEntry("a", Digest("md5:00"))):
        with pytest.raises(Malformed):
            write_manifest([entry])


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1)


@given(st.dictionaries(NAMES, st.binary()))
def test_what_is_written_is_read(files: dict[str, bytes]) -> None:
    entries = tuple(ManifestEntry(name, sha256_of(content)) for name, content in files.items())
    assert read_manifest(write_manifest(entries)) == entries


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_r5_a_wrong_digest_is_a_difference_and_gaps_are_notes(tmp_path: Path) -> None:
    sha1 = hashlib.sha1(b"12345", usedforsecurity=False).hexdigest()
    lines = f"SHA256(vm.ovf)= {HEX}\nSHA1(disk1.vmdk)= {sha1}\nSHA1(gone.iso)= {sha1}\n"
    write_folder(tmp_path, {"vm.ovf": envelope(), "disk1.vmdk": b"12345", "vm.mf": lines.encode()})
    notes = Notes()
    with open_appliance(tmp_path) as appliance:
        differences = check_manifest(appliance, notes)
    assert [one.what for one in differences] == ["digest of vm.ovf"]
    assert notes.notes == ["the manifest has a line for gone.iso, which is not there"]


def test_r5_files_without_a_line_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"vm.ovf": envelope(), "disk1.vmdk": b"12345"})
    with open_appliance(tmp_path) as appliance:
        assert manifest_notes(appliance) == ("the package has no manifest",)
    (tmp_path / "vm.mf").write_text(f"SHA256(vm.ovf)= {HEX}\n")
    with open_appliance(tmp_path) as appliance:
        assert manifest_notes(appliance) == ("the manifest has no line for disk1.vmdk",)
