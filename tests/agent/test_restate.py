"""Descriptors taken out again, made from a bill of materials, and bills inside a package."""

import json
from pathlib import Path

import pytest

from regild.agent.reading.describe import describe
from regild.agent.reading.intake import open_image
from regild.agent.reading.verify import complaint_of, verify
from regild.agent.writing.inscribe import inscribe
from regild.agent.writing.restate import from_bom, strip
from regild.errors import DigestMismatch, MissingFile, TargetExists, UsageError
from regild.model.progress import Silent
from regild.ovf.content import read_descriptor
from tests.cli import golden


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.filesystem(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def ova(raw: Path) -> Path:
    return golden.ova(raw.parent, golden.streamed(raw))


def envelope_of(path: Path) -> bytes:
    with open_image(path) as image:
        return image.envelope_bytes


@pytest.mark.parametrize("sbom", ["sidecar", "embed", "none"])
def test_stripping_gives_back_every_byte(ova: Path, tmp_path: Path, sbom: str) -> None:
    described, plain = tmp_path / "d.ova", tmp_path / "p.ova"
    inscribe(ova, described, sbom, False, Silent())
    answer = strip(described, tmp_path / "p.ovf", False, Silent())
    assert (tmp_path / "p.ovf").read_bytes() == envelope_of(ova)
    assert answer.removed_bytes == len(envelope_of(described)) - len(envelope_of(ova))
    strip(described, plain, False, Silent())
    assert envelope_of(plain) == envelope_of(ova)
    with open_image(plain) as image, open_image(ova) as old:
        assert image.appliance is not None
        assert old.appliance is not None
        assert list(image.appliance.members) == list(old.appliance.members)
        assert image.promised == old.promised


def test_a_sidecar_envelope_is_stripped_too(raw: Path, tmp_path: Path) -> None:
    disk = tmp_path / "x.raw"
    disk.write_bytes(raw.read_bytes())
    inscribe(disk, tmp_path / "x.ovf", "none", False, Silent())
    strip(disk, tmp_path / "plain.ovf", False, Silent())
    assert b"ContentDescriptorSection" not in (tmp_path / "plain.ovf").read_bytes()
    with pytest.raises(TargetExists):
        strip(disk, tmp_path / "plain.ovf", False, Silent())
    (tmp_path / "x.ovf").unlink()
    with pytest.raises(MissingFile):
        strip(disk, tmp_path / "y.ovf", False, Silent())


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_an_embedded_bill_is_the_last_file_and_is_checked(
    ova: Path, tmp_path: Path, bom_format: str
) -> None:
    out = tmp_path / "d.ova"
    inscribe(ova, out, "embed", False, Silent(), bom_format)
    assert list(tmp_path.iterdir()) == [out]
    with open_image(out) as image:
        assert image.appliance is not None
        name = list(image.appliance.members)[-1]
        assert name == {"cyclonedx": "d.cdx.json", "spdx": "d.spdx.json"}[bom_format]
        assert json.loads(image.appliance.members[name].read(1 << 20))
        found = read_descriptor(image.envelope_bytes)
        assert found is not None
        assert (found.bom.location, found.bom.name) == ("package", name)
    assert complaint_of(verify(out, False, Silent())) is None


def test_another_bill_inside_is_told(ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.ova"
    inscribe(ova, out, "embed", False, Silent())
    with open_image(out) as image:
        assert image.appliance is not None
        members = {n: m.read(1 << 30) for n, m in image.appliance.members.items()}
    members["d.cdx.json"] = b" " * len(members["d.cdx.json"])
    listed = {n: c for n, c in members.items() if not n.endswith(".mf")}
    members["golden.mf"] = golden.manifest(listed)
    golden.archive(out, list(members.items()))
    answer = verify(out, False, Silent())
    assert [one.what for one in answer.differences] == ["digest of d.cdx.json"]
    assert isinstance(complaint_of(answer), DigestMismatch)


def test_a_bare_disk_has_no_inside(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        inscribe(raw, tmp_path / "x.ovf", "embed", False, Silent())


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_a_true_bill_makes_a_descriptor_that_is_claimed(
    ova: Path, tmp_path: Path, bom_format: str
) -> None:
    first, second = tmp_path / "d.ova", tmp_path / "e.ova"
    inscribe(ova, first, "sidecar", False, Silent(), bom_format)
    (bill,) = [one for one in tmp_path.iterdir() if one.suffix == ".json"]
    answer = from_bom(ova, bill, second, "none", False, Silent())
    assert answer.descriptor.state == "claimed"
    assert [one.name for one in answer.packages] == ["libssl3", "openssl"]
    assert answer.unknowns
    (seen,) = describe(second, Silent())
    assert seen.descriptor.state == "claimed"
    assert verify(second, True, Silent()).descriptors[0].state == "claimed"


def test_a_bill_of_another_image_is_stale(ova: Path, tmp_path: Path) -> None:
    bill = tmp_path / "x.cdx.json"
    component = {"type": "library", "purl": "pkg:deb/debian/nginx@1?arch=amd64"}
    bill.write_text(json.dumps({"bomFormat": "CycloneDX", "components": [component]}))
    from_bom(ova, bill, tmp_path / "d.ova", "none", False, Silent())
    (seen,) = describe(tmp_path / "d.ova", Silent())
    assert seen.descriptor.state == "stale"
    assert "its package list is not the disk's" in seen.descriptor.why
