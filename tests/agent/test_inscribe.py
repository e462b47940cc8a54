"""`describe -o`: the same image once more, described, and nothing else changed."""

import json
import shutil
from pathlib import Path

import pytest

from regild.agent.reading.claim import read_claims
from regild.agent.reading.describe import describe
from regild.agent.reading.intake import open_image
from regild.agent.reading.verify import complaint_of, verify
from regild.agent.writing.inscribe import created_of, inscribe
from regild.errors import DigestMismatch, TargetExists, UsageError
from regild.host.files import digest_file
from regild.model.digest import hex_of
from regild.model.progress import Silent
from regild.ovf.content import strip_descriptor
from tests.cli import golden


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.filesystem(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def vmdk(raw: Path) -> Path:
    return golden.streamed(raw)


@pytest.fixture
def ova(vmdk: Path, tmp_path: Path) -> Path:
    return golden.ova(tmp_path, vmdk)


def state_of(path: Path) -> str:
    (answer,) = describe(path, Silent())
    return answer.descriptor.state


def describe_claim(path: Path) -> str:
    (claim,) = read_claims(path)
    return claim.state.state


def test_an_ova_is_described_and_the_rest_stays_byte_for_byte(ova: Path, tmp_path: Path) -> None:
    before = digest_file(ova)
    out = tmp_path / "out" / "described.ova"
    out.parent.mkdir()
    answer = inscribe(ova, out, sbom="sidecar", force=False, progress=Silent())
    assert digest_file(ova) == before
    assert answer.output is not None
    assert answer.output.sha256 == hex_of(digest_file(out))
    assert sorted(one.name for one in out.parent.iterdir()) == [
        "described.cdx.json",
        "described.ova",
    ]
    with open_image(ova) as old, open_image(out) as new:
        assert strip_descriptor(new.envelope_bytes) == old.envelope_bytes
        _, was, length = old.only_system.disks[0].whole()
        content = ova.read_bytes()[was : was + length]
        _, now, length = new.only_system.disks[0].whole()
        assert out.read_bytes()[now : now + length] == content
    assert state_of(out) == "equivalent"
    assert complaint_of(verify(out, True, Silent())) is None


def test_the_same_input_gives_the_same_bytes(
    ova: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        inscribe(ova, folder / "x.ova", sbom="sidecar", force=False, progress=Silent())
    for name in ("x.ova", "x.cdx.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert b"2023-11-14T22:13:20Z" in (folders[0] / "x.ova").read_bytes()


def test_the_bill_of_materials_stands_beside_it(ova: Path, tmp_path: Path) -> None:
    answer = inscribe(ova, tmp_path / "d.ova", sbom="sidecar", force=False, progress=Silent())
    assert answer.bom is not None
    bill = json.loads(Path(answer.bom.path).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"openssl", "libssl3"} <= {one["name"] for one in bill["components"]}


def test_no_bill_where_none_is_wanted(ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "d.ova"
    out.parent.mkdir()
    answer = inscribe(ova, out, sbom="none", force=False, progress=Silent())
    assert answer.bom is None
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_stays_a_folder_or_becomes_an_ova(vmdk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(vmdk, folder)
    (folder / "golden.ovf").write_bytes(golden.envelope({"disk1": vmdk}))
    inscribe(folder, tmp_path / "out", sbom="sidecar", force=False, progress=Silent())
    assert {"golden.ovf", "golden.mf", vmdk.name} <= {
        one.name for one in (tmp_path / "out").iterdir()
    }
    inscribe(folder, tmp_path / "out.ova", sbom="sidecar", force=False, progress=Silent())
    for out in (tmp_path / "out", tmp_path / "out.ova"):
        assert state_of(out) == "equivalent"


def test_a_bare_disk_gets_its_envelope_beside_it(raw: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copy(raw, tmp_path / "golden.raw"))
    before = disk.stat()
    inscribe(disk, tmp_path / "golden.ovf", sbom="sidecar", force=False, progress=Silent())
    assert (disk.stat().st_ino, disk.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert state_of(disk) == "equivalent"
    assert verify(disk, False, Silent()).descriptors[0].state == "verified"
    assert state_of(tmp_path / "golden.ovf") == "equivalent"
    assert describe_claim(tmp_path / "golden.ovf") == "claimed"
    disk.unlink()
    assert describe_claim(tmp_path / "golden.ovf") == "claimed"


def test_a_changed_manifest_beside_a_bare_disk_is_told(raw: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copy(raw, tmp_path / "golden.raw"))
    inscribe(disk, tmp_path / "golden.ovf", sbom="none", force=False, progress=Silent())
    manifest = tmp_path / "golden.mf"
    lines = manifest.read_text().splitlines()
    other = lines[0].split("= ")[0] + "= " + "0" * 64
    manifest.write_text("\n".join([other, *lines[1:]]) + "\n")
    assert state_of(disk) == "tampered"


def test_a_bare_disk_is_copied_with_its_envelope(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.raw"
    inscribe(raw, out, sbom="sidecar", force=False, progress=Silent())
    assert out.read_bytes() == raw.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "copy.cdx.json",
        "copy.mf",
        "copy.ovf",
        "copy.raw",
    ]
    assert state_of(out) == "equivalent"


def test_a_bare_disk_is_not_called_an_ova(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bare disk"):
        inscribe(raw, tmp_path / "out.ova", "none", False, Silent())
    assert not (tmp_path / "out.ova").exists()


def test_the_envelope_of_a_bare_disk_has_one_place(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs beside it"):
        inscribe(raw, tmp_path / "other.ovf", sbom="sidecar", force=False, progress=Silent())
    assert list(tmp_path.iterdir()) == []


def test_describing_again_changes_nothing(ova: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.ova", tmp_path / "twice.ova"
    inscribe(ova, once, sbom="none", force=False, progress=Silent())
    shutil.copystat(ova, once)
    inscribe(once, twice, sbom="none", force=False, progress=Silent())
    assert once.read_bytes() == twice.read_bytes()


def test_nothing_is_replaced_unasked_and_never_the_image_itself(ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ova"
    out.write_text("precious")
    with pytest.raises(TargetExists):
        inscribe(ova, out, sbom="sidecar", force=False, progress=Silent())
    assert out.read_text() == "precious"
    before = digest_file(ova)
    for force in (False, True):
        with pytest.raises(UsageError, match="never written to"):
            inscribe(ova, ova, sbom="sidecar", force=force, progress=Silent())
    assert digest_file(ova) == before
    inscribe(ova, out, sbom="none", force=True, progress=Silent())
    assert state_of(out) == "equivalent"


def test_what_stands_beside_is_not_replaced_unasked(ova: Path, raw: Path, tmp_path: Path) -> None:
    for name, image in (("d.cdx.json", ova), ("d.ovf", raw)):
        beside = tmp_path / name
        beside.write_text("precious")
        with pytest.raises(TargetExists, match=name):
            inscribe(image, tmp_path / "d.x", sbom="sidecar", force=False, progress=Silent())
        assert beside.read_text() == "precious"
        assert not (tmp_path / "d.x").exists()
        beside.unlink()


def test_another_bill_beside_the_image_is_told(ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.ova"
    inscribe(ova, out, sbom="sidecar", force=False, progress=Silent())
    assert complaint_of(verify(out, False, Silent())) is None
    (tmp_path / "d.cdx.json").write_text("{}")
    answer = verify(out, False, Silent())
    assert [one.what for one in answer.differences] == ["digest of d.cdx.json"]
    assert isinstance(complaint_of(answer), DigestMismatch)


def test_damaged_bytes_do_not_get_a_new_manifest(vmdk: Path, tmp_path: Path) -> None:
    path = golden.ova(tmp_path, vmdk)
    content = bytearray(path.read_bytes())
    with open_image(path) as image:
        content[image.only_system.disks[0].whole()[1] + 70_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch):
        inscribe(path, tmp_path / "out.ova", sbom="sidecar", force=False, progress=Silent())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("told", ["9" * 20, "tomorrow", "-1"])
def test_what_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", told)
    with pytest.raises(UsageError):
        created_of(Path("/dev/null"))
