"""`regild sign` and `regild verify --trust` on whole packages."""

import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.ovf.authorities import DAY, Holder, holder

Regild = Callable[..., Said]
TODAY = datetime.now(UTC)
SPAN = {"begin": TODAY - 2 * DAY, "end": TODAY + 2 * DAY}


@pytest.fixture(scope="module")
def ca() -> Holder:
    return holder("CA", authority=True, **SPAN)


@pytest.fixture
def paper(tmp_path: Path, ca: Holder) -> Path:
    """A folder with ca.pem, key and cert."""
    folder = tmp_path / "paper"
    folder.mkdir()
    signer = holder("Maker", ca, **SPAN)
    for name, content in (("ca.pem", ca.pem), ("key", signer.key), ("cert", signer.pem)):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def signed(regild: Regild, ova: Path, paper: Path, tmp_path: Path) -> Path:
    out = tmp_path / "signed.ova"
    said = regild(
        "sign", ova, "--key", paper / "key", "--cert", paper / "cert", "-o", out, "--json"
    )
    assert said.code == 0, said.err
    assert valid("sign", said.json)["signature"]["subject"] == "CN=Maker"
    return out


def signature(said: Said) -> str:
    answer: str = valid("verify", said.json)["signature"]["state"]
    return answer


def test_a_signed_package_is_the_old_one_with_a_certificate(
    regild: Regild, ova: Path, signed: Path, paper: Path
) -> None:
    with tarfile.open(ova) as old, tarfile.open(signed) as new:
        assert new.getnames() == ["golden.ovf", "golden.mf", "golden.cert", "root.vmdk"]
        for name in old.getnames():
            before, after = old.extractfile(name), new.extractfile(name)
            assert before is not None
            assert after is not None
            assert before.read() == after.read()
    said = regild("verify", signed, "--trust", paper / "ca.pem", "--json")
    assert (said.code, signature(said)) == (0, "valid")
    assert "Signature" in regild("verify", signed).out
    assert regild("lint", signed, "--target", "vsphere").code == 0


def test_each_fault_has_its_own_answer(
    regild: Regild, ova: Path, signed: Path, paper: Path, tmp_path: Path, ca: Holder
) -> None:
    (paper / "other.pem").write_bytes(holder("Other", authority=True, **SPAN).pem)
    alone = holder("Alone", **SPAN)
    (paper / "alone.key").write_bytes(alone.key)
    (paper / "alone.cert").write_bytes(alone.pem)
    own = tmp_path / "own.ova"
    argv = ["--key", paper / "alone.key", "--cert", paper / "alone.cert", "-o", own]
    assert regild("sign", ova, *argv).code == 0
    members = members_of(signed)
    broken = tmp_path / "broken.ova"
    manifest = members["golden.mf"].replace(b"SHA256(root", b"\nSHA256(root")
    golden.archive(broken, list({**members, "golden.mf": manifest}.items()))
    wrong = tmp_path / "wrong.ova"
    line = members["golden.cert"].split(b"-----BEGIN")[0]
    golden.archive(wrong, list({**members, "golden.cert": line + alone.pem}.items()))
    for path, trust, expected, alike in (
        (signed, "ca.pem", "valid", 0),
        (signed, "other.pem", "untrusted", 0),
        (own, "ca.pem", "self-signed", 0),
        (ova, "ca.pem", "absent", 0),
        (broken, "ca.pem", "wrong-key", 6),
        (wrong, "ca.pem", "wrong-key", 6),
    ):
        said = regild("verify", path, "--trust", paper / trust, "--json")
        assert signature(said) == expected, path
        assert said.code == (0 if expected == "valid" else 6)
        assert expected == "valid" or f"is {expected}: " in said.err
        assert regild("verify", path).code == alike


def test_an_expired_certificate_is_told(
    regild: Regild, ova: Path, paper: Path, tmp_path: Path, ca: Holder
) -> None:
    old = holder("Old", ca, begin=TODAY - 3 * DAY, end=TODAY - DAY)
    (paper / "key").write_bytes(old.key)
    (paper / "cert").write_bytes(old.pem)
    argv = ["--key", paper / "key", "--cert", paper / "cert", "-o", tmp_path / "x.ova"]
    said = regild("sign", ova, *argv)
    assert said.code == 6
    assert "expired" in said.err


def test_a_broken_signature_makes_the_descriptor_tampered(
    regild: Regild, ova: Path, paper: Path, tmp_path: Path
) -> None:
    described, out = tmp_path / "d.ova", tmp_path / "s.ova"
    assert regild("describe", ova, "-o", described).code == 0
    argv = ["--key", paper / "key", "--cert", paper / "cert", "-o", out]
    assert regild("sign", described, *argv).code == 0
    assert regild("describe", out, "--json").json["descriptor"]["state"] == "equivalent"
    members = members_of(out)
    members["golden.cert"] = members["golden.cert"].replace(b"= ", b"= 00", 1)
    golden.archive(out, list(members.items()))
    assert regild("describe", out, "--json").json["descriptor"]["state"] == "tampered"


def test_what_cannot_be_signed(
    regild: Regild, raw: Path, paper: Path, vmdk: Path, tmp_path: Path
) -> None:
    argv = ["--key", paper / "key", "--cert", paper / "cert", "-o", tmp_path / "x.ova"]
    assert regild("sign", raw, *argv).code == 5
    ovf = golden.envelope({"disk1": vmdk})
    disk = (vmdk.name, vmdk.read_bytes())
    bare = golden.archive(tmp_path / "bare.ova", [("golden.ovf", ovf), disk])
    assert regild("sign", bare, *argv).code == 4
    damaged = {"golden.ovf": ovf, vmdk.name: b"other"}
    members = [("golden.ovf", ovf), ("golden.mf", golden.manifest(damaged)), disk]
    assert regild("sign", golden.archive(tmp_path / "bad.ova", members), *argv).code == 6
    assert not (tmp_path / "x.ova").exists()


def test_a_folder_is_signed_into_a_folder(
    regild: Regild, ova: Path, paper: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in members_of(ova).items():
        (folder / name).write_bytes(content)
    argv = ["--key", paper / "key", "--cert", paper / "cert", "-o", tmp_path / "out"]
    assert regild("sign", folder, *argv).code == 0
    assert regild("verify", tmp_path / "out", "--trust", paper / "ca.pem").code == 0


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
