"""What is safe to put right is put right, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.agent.writing.lint import fix, lint
from regild.errors import DigestMismatch, Malformed, MissingFile, TargetExists, UsageError
from regild.model.progress import Silent
from regild.ovf.archive import open_appliance
from regild.ovf.lint.table import RULES, TARGETS
from regild.ovf.manifest_check import check_manifest, manifest_notes
from tests.ovf.lint.packages import DISK, MF, OVF, VMDK, clean, envelope, manifest, pack
from tests.ovf.lint.test_rules import BROKEN, found_in

FOR_SHORT_NAMES = "pax-header"
"""The long name in its test's package stays too long for an OVA."""


@pytest.mark.parametrize(
    "rule", [one.id for one in RULES if one.safe and one.id != FOR_SHORT_NAMES]
)
def test_a_safe_rule_is_put_right(rule: str, tmp_path: Path) -> None:
    broken = BROKEN[rule](tmp_path)
    before = broken.read_bytes()
    answer = fix(broken, TARGETS, tmp_path / "out.ova", False, Silent())
    assert rule in {one.rule for one in answer.fixed}
    assert found_in(tmp_path / "out.ova") == {one.rule for one in answer.findings}
    assert rule not in found_in(tmp_path / "out.ova")
    assert broken.read_bytes() == before
    with open_appliance(tmp_path / "out.ova") as appliance:
        assert check_manifest(appliance, Silent()) == ()
        assert manifest_notes(appliance) == ()
        assert appliance.members[VMDK].read(100) == DISK


def test_pax_headers_go(tmp_path: Path) -> None:
    import tarfile

    path = tmp_path / "x.ova"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"a": "b"}) as archive:
        for name in clean():
            (tmp_path / name).write_bytes(clean()[name])
            archive.add(tmp_path / name, name)
    assert "pax-header" in found_in(path)
    assert fix(path, TARGETS, tmp_path / "out.ova", False, Silent()).findings == ()


def test_a_folder_stays_a_folder_or_becomes_an_ova(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in clean(envelope().replace(b'size="28"', b'size="5"')).items():
        (folder / name).write_bytes(content)
    assert fix(folder, TARGETS, tmp_path / "out", False, Silent()).findings == ()
    assert fix(folder / OVF, TARGETS, tmp_path / "out.ova", False, Silent()).findings == ()
    assert (tmp_path / "out" / OVF).read_bytes() == envelope()
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == sorted((OVF, MF, VMDK))


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.ova", {**clean(), "vm.cert": b"", "readme": b""})
    assert fix(path, TARGETS, tmp_path / "out.ova", False, Silent()).left_out == (
        "vm.cert is left out: it signs the old manifest",
        "readme is left out: the envelope does not refer to it",
    )


def test_damaged_bytes_get_no_new_manifest(tmp_path: Path) -> None:
    files = clean()
    path = pack(tmp_path / "x.ova", {**files, VMDK: files[VMDK][:-1] + b"?"})
    with pytest.raises(DigestMismatch):
        fix(path, TARGETS, tmp_path / "out.ova", False, Silent())
    assert not (tmp_path / "out.ova").exists()


def test_what_cannot_be_put_right_is_an_error(tmp_path: Path) -> None:
    for rule, error in (("file-missing", MissingFile), ("href-own", Malformed)):
        with pytest.raises(error):
            fix(BROKEN[rule](tmp_path), TARGETS, tmp_path / "out.ova", False, Silent())
    path = pack(tmp_path / "x.ova", clean())
    with pytest.raises(UsageError):
        fix(path, TARGETS, path, True, Silent())
    (tmp_path / "there.ova").write_text("precious")
    with pytest.raises(TargetExists):
        fix(path, TARGETS, tmp_path / "there.ova", False, Silent())


def test_a_wrong_size_inside_a_described_package_is_patched_in_place(tmp_path: Path) -> None:
    content = envelope().replace(b'size="28"', b'size="27"')
    files = {OVF: content, MF: b"", VMDK: DISK}
    files[MF] = manifest(files)
    path = pack(tmp_path / "x.ova", files)
    assert [one.rule for one in lint(path, TARGETS).findings] == ["size-mismatch"]
    fix(path, TARGETS, tmp_path / "out.ova", False, Silent())
    with open_appliance(tmp_path / "out.ova") as appliance:
        assert appliance.envelope_bytes == envelope()
