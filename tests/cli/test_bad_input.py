"""What is wrong with an image is said in one sentence with its own exit code; nothing is written.

As far as reading goes; what planning and changing refuse is tested with them.
"""

import gzip
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]


def refused(regild: Regild, code: int, kind: str, *argv: str | Path) -> str:
    """The sentence of an error, after checking that nothing was written anywhere near."""
    folder = next(one for one in argv[1:] if isinstance(one, Path)).parent
    before = {one: one.lstat().st_mtime_ns for one in folder.rglob("*")}
    plain = regild(*argv)
    assert plain.code == code, plain.err
    assert plain.out == ""
    assert "Traceback" not in plain.err
    told = [line for line in plain.err.splitlines() if line.startswith("regild: ")]
    assert len(told) == 1
    said = regild(*argv, "--json")
    assert said.code == code
    failure = valid("error", said.json)["error"]
    assert failure["kind"] == kind, failure
    assert failure["exit_code"] == code
    assert {one: one.lstat().st_mtime_ns for one in folder.rglob("*")} == before
    return str(failure["sentence"])


COMMANDS = ("describe", "verify")


def test_nothing_is_there(regild: Regild, tmp_path: Path) -> None:
    for command in COMMANDS:
        assert "none.ova" in refused(regild, 4, "MissingFile", command, tmp_path / "none.ova")


@pytest.mark.parametrize("content", [b"not a tar", os.urandom(70_000), b"PAX" * 400])
def test_not_a_tar(regild: Regild, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "golden.ova"
    path.write_bytes(content)
    refused(regild, 4, "NotAnArchive", "describe", path)


def test_an_empty_file(regild: Regild, tmp_path: Path) -> None:
    path = tmp_path / "golden.ova"
    path.touch()
    refused(regild, 4, "Truncated", "describe", path)


def test_a_compressed_archive(regild: Regild, tmp_path: Path, ova: Path) -> None:
    path = tmp_path / "golden.ova.gz"
    path.write_bytes(gzip.compress(ova.read_bytes(), 1))
    assert "unpack it first" in refused(regild, 5, "UnsupportedFormat", "describe", path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_a_truncated_ova(regild: Regild, tmp_path: Path, ova: Path, share: float) -> None:
    path = tmp_path / "golden.ova"
    content = ova.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for command in COMMANDS:
        refused(regild, 4, "Truncated", command, path)


def test_a_truncated_bare_disk(regild: Regild, tmp_path: Path, raw: Path) -> None:
    """Its tables stand before its data, so it opens; what is missing is what is read."""
    whole = golden.converted(Path(shutil.copy(raw, tmp_path / "golden.raw")), "vmdk")
    path = tmp_path / "cut.vmdk"
    path.write_bytes(whole.read_bytes()[: 2 << 16])
    assert "behind the end" in refused(regild, 4, "Truncated", "describe", path)


def test_a_truncated_disk_in_a_folder(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    ovf = tmp_path / "golden.ovf"
    ovf.write_bytes(golden.envelope({"disk1": vmdk}))
    (tmp_path / vmdk.name).write_bytes(vmdk.read_bytes()[:-5000])
    refused(regild, 4, "Truncated", "describe", ovf)


def test_two_envelopes(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    ovf, disk = golden.envelope({"disk1": vmdk}), vmdk.read_bytes()
    members = [("a.ovf", ovf), ("b.ovf", ovf), (vmdk.name, disk)]
    path = golden.archive(tmp_path / "golden.ova", members)
    refused(regild, 4, "Ambiguous", "describe", path)


def test_no_envelope(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    path = golden.archive(tmp_path / "golden.ova", [(vmdk.name, vmdk.read_bytes())])
    refused(regild, 4, "MissingFile", "describe", path)


def test_the_disk_is_missing(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    path = golden.archive(tmp_path / "golden.ova", [("a.ovf", golden.envelope({"disk1": vmdk}))])
    assert vmdk.name in refused(regild, 4, "MissingFile", "describe", path)


def test_a_name_that_leads_out(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    ovf = golden.envelope({"disk1": vmdk}).replace(vmdk.name.encode(), b"../outside.vmdk")
    path = tmp_path / "golden.ovf"
    path.write_bytes(ovf)
    refused(regild, 4, "UnsafeName", "describe", path)


def test_a_wrong_manifest_digest(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    ovf, disk = golden.envelope({"disk1": vmdk}), vmdk.read_bytes()
    listed = golden.manifest({"a.ovf": ovf, vmdk.name: disk + b"x"})
    path = golden.archive(
        tmp_path / "golden.ova", [("a.ovf", ovf), ("a.mf", listed), (vmdk.name, disk)]
    )
    said = regild("verify", path, "--json")
    assert said.code == 6
    answer = valid("verify", said.json)
    assert answer["manifest"]["state"] == "broken"
    (difference,) = answer["differences"]
    assert vmdk.name in difference["what"]
    assert "does not match its digest" in said.err
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_file_that_the_manifest_does_not_list_is_unknown(
    regild: Regild, tmp_path: Path, vmdk: Path
) -> None:
    ovf, disk = golden.envelope({"disk1": vmdk}), vmdk.read_bytes()
    listed = golden.manifest({"a.ovf": ovf})
    path = golden.archive(
        tmp_path / "golden.ova", [("a.ovf", ovf), ("a.mf", listed), (vmdk.name, disk)]
    )
    said = regild("verify", path, "--json")
    assert said.code == 3
    assert said.json["manifest"]["state"] == "partial"
    assert said.json["unknowns"][0]["where"] == vmdk.name


def test_nothing_to_verify(regild: Regild, tmp_path: Path, raw: Path) -> None:
    path = Path(shutil.copy(raw, tmp_path / "golden.raw"))
    refused(regild, 3, "NothingRead", "verify", path)


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_with_an_external_extent(
    regild: Regild, tmp_path: Path, raw: Path, subformat: str
) -> None:
    copied = Path(shutil.copy(raw, tmp_path / "golden.raw"))
    path = golden.converted(copied, "vmdk", "-o", f"subformat={subformat}")
    # From its own folder it is read, and from nowhere else.
    assert regild("describe", path).code == 0
    path.write_bytes(path.read_bytes().replace(b' "golden', b' "../golden').rstrip())
    refused(regild, 5, "ExternalFile", "describe", path)


def test_a_qcow2_with_a_backing_file(regild: Regild, tmp_path: Path, raw: Path) -> None:
    path = tmp_path / "golden.qcow2"
    line = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(raw), str(path)]
    subprocess.run(line, check=True)
    refused(regild, 5, "ExternalFile", "describe", path)


def test_an_unknown_filesystem(regild: Regild, tmp_path: Path) -> None:
    path = golden.partitioned(tmp_path, b"XFSB" + b"\x11" * golden.MIB)
    assert "xfs" in refused(regild, 5, "UnsupportedFilesystem", "describe", path)


def test_an_encrypted_partition(regild: Regild, tmp_path: Path) -> None:
    path = golden.partitioned(tmp_path, b"LUKS\xba\xbe\x00\x02" + b"\x11" * golden.MIB)
    assert "LUKS" in refused(regild, 5, "Encrypted", "describe", path)


def test_an_empty_disk(regild: Regild, tmp_path: Path) -> None:
    path = golden.partitioned(tmp_path, bytes(golden.MIB))
    refused(regild, 3, "NothingRead", "describe", path)


def test_noise(regild: Regild, tmp_path: Path) -> None:
    path = tmp_path / "noise.raw"
    for seed in range(4):
        path.write_bytes(random.Random(seed).randbytes(3 * golden.MIB))
        refused(regild, 4, "NotAnArchive", "describe", path)


@pytest.mark.parametrize("form", ["raw", "ova"])
def test_an_image_cut_off_at_fifty_places(
    regild: Regild, tmp_path: Path, raw: Path, ova: Path, form: str
) -> None:
    """Nowhere does it end with 0, unless the whole list was read in spite of it."""
    whole = raw if form == "raw" else ova
    content = whole.read_bytes()
    packages = regild("describe", whole, "--json").json["packages"]
    path = tmp_path / f"cut.{form}"
    for cut in random.Random(17).sample(range(len(content)), 50):
        path.write_bytes(content[:cut])
        said = regild("describe", path, "--json")
        assert said.code in (3, 4, 5, 6) or said.json["packages"] == packages, cut
        assert said.code != 0 or form == "raw" or not content[cut:].strip(b"\0"), cut


def test_a_database_on_a_volume_that_is_missing(regild: Regild, tmp_path: Path) -> None:
    fstab = "UUID=0f0f0f0f-0000-4000-8000-00000000abcd /var ext4 defaults 0 2\n"
    files = {"/etc/os-release": golden.OS_RELEASE, "/etc/fstab": fstab}
    said = regild("describe", golden.filesystem(tmp_path, files), "--json")
    assert said.code == 3
    unknowns = valid("describe", said.json)["unknowns"]
    assert ("/var", True) in [(one["where"], "not on this disk" in one["why"]) for one in unknowns]


def test_a_filesystem_without_a_guest(regild: Regild, tmp_path: Path) -> None:
    path = golden.filesystem(tmp_path, {"/home/note": "nothing here"})
    refused(regild, 3, "NothingRead", "describe", path)


def test_a_guest_without_a_package_database(regild: Regild, tmp_path: Path) -> None:
    path = golden.filesystem(tmp_path, {"/etc/os-release": golden.OS_RELEASE})
    said = regild("describe", path, "--json")
    assert said.code == 3
    assert "package database" in valid("describe", said.json)["unknowns"][0]["why"]


def test_a_sidecar_that_cannot_be_read_is_not_passed_over(
    regild: Regild, tmp_path: Path, raw: Path
) -> None:
    path = Path(shutil.copy(raw, tmp_path / "golden.raw"))
    (tmp_path / "golden.ovf").write_text("<Envelope")
    refused(regild, 4, "Malformed", "describe", path)


def test_a_hostile_name_in_an_error_is_neutralised(regild: Regild, tmp_path: Path) -> None:
    said = regild("describe", tmp_path / "\x1b[2Jnone.ova")
    assert said.code == 4
    assert "\x1b" not in said.err
