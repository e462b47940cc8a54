from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.image.disks import tool

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REGILD_ACTOR", "anna")
    return tmp_path / "store"


def test_an_image_goes_in_and_comes_out_with_every_byte(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    assert regild("image", "add", "web", "--about", "the shop").code == 0
    made = regild("publish", ova, "--image", "web", "--channel", "dev", "--json")
    answer = valid("generation", made.json)
    assert answer["generation"]["number"] == 1
    assert answer["channel"]["number"] == 1
    assert answer["generation"]["content"].startswith("sha256:")
    out = tmp_path / "out.ova"
    valid("export", regild("export", "web@dev", "-o", out, "--json").json)
    assert out.read_bytes() == ova.read_bytes()
    refused = regild("export", "web@1", "-o", out)
    assert (refused.code, "already exists" in refused.err) == (13, True)
    assert regild("export", "web@1", "-o", out, "--force").code == 0


def test_the_next_version_costs_little_and_publishing_again_is_no_new_one(
    regild: Regild, vmdk: Path, tmp_path: Path
) -> None:
    regild("image", "add", "web")
    first = golden.ova(tmp_path, vmdk, "first")
    shifted = tmp_path / "longer"
    shifted.mkdir()
    second = golden.ova(shifted, vmdk, "second-with-a-longer-envelope")
    regild("publish", first, "--image", "web")
    size = valid("store-stats", regild("store", "stats", "--json").json)["stored_bytes"]
    again = regild("publish", first, "--image", "web", "--json")
    assert again.json["generation"]["number"] == 1
    assert regild("publish", second, "--image", "web", "--parent", "web@1").code == 0
    grown = regild("store", "stats", "--json").json["stored_bytes"]
    assert grown - size < 16384
    assert valid("generations", regild("generation", "list", "web", "--json").json)
    assert "web@2" in regild("image", "show", "web").out
    assert "web" in regild("image", "list").out


def test_an_ovf_folder_and_a_bare_disk_come_back_as_they_were(
    regild: Regild, raw: Path, vmdk: Path, tmp_path: Path
) -> None:
    regild("image", "add", "web")
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copyfile(vmdk, folder / vmdk.name)
    members = {"golden.ovf": golden.envelope({"disk1": vmdk})}
    (folder / "golden.ovf").write_bytes(members["golden.ovf"])
    assert regild("publish", folder, "--image", "web").code == 0
    assert regild("export", "web", "-o", tmp_path / "back").code == 0
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == {
        one.name: one.read_bytes() for one in (tmp_path / "back").iterdir()
    }
    assert regild("publish", raw, "--image", "web").code == 0
    assert regild("export", "web", "-o", tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("form", ["qcow2", "vmdk"])
def test_a_disk_without_the_files_that_it_leads_to_is_not_kept(
    regild: Regild, raw: Path, tmp_path: Path, form: str
) -> None:
    base, top = tmp_path / f"base.{form}", tmp_path / f"top.{form}"
    tool("qemu-img", "convert", "-f", "raw", "-O", form, raw, base)
    tool("qemu-img", "create", "-q", "-f", form, "-F", form, "-b", base.name, top)
    assert regild("describe", top).code == 0
    assert regild("image", "add", "web").code == 0
    for line in (("publish", top, "--image", "web"), ("describe", top, "-o", tmp_path / "o.img")):
        said = regild(*line)
        assert said.code == 5
        assert f"its bytes lie in base.{form} too" in said.err
        assert not (tmp_path / "o.img").exists()
    one = tmp_path / "one.qcow2"
    assert regild("convert", top, one, "--format", "qcow2").code == 0
    assert regild("publish", one, "--image", "web").code == 0


def test_channels_revocations_and_pins_have_commands(regild: Regild, ova: Path, raw: Path) -> None:
    regild("image", "add", "web", "--channel", "canary", "--channel", "all")
    for path in (ova, raw):
        regild("publish", path, "--image", "web")
    assert regild("promote", "web@1", "canary").code == 0
    moved = valid("channel", regild("promote", "web@2", "canary", "--json").json)
    assert (moved["was"], moved["channel"]["number"]) == (1, 2)
    assert regild("pin", "web@canary").code == 0
    assert regild("rollback", "web@canary").code == 13
    regild("pin", "web@canary", "--off")
    assert regild("rollback", "web@canary", "--json").json["channel"]["number"] == 1
    said = regild("revoke", "web@2", "--at", "2026-11-01", "--why", "CVE-2026-1", "--json")
    assert valid("generation", said.json)["generation"]["revocation"]["why"] == "CVE-2026-1"
    refused = regild("promote", "web@2", "all", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (13, "Revoked")
    assert regild("restore", "web@2").code == 0
    assert regild("promote", "web@2", "all").code == 0
    assert regild("pin", "web@1").code == 0
    assert "pinned" in regild("generation", "list").out
    told = valid("events", regild("events", "web@2", "--json").json)["events"]
    assert [one["kind"] for one in told] == [
        *("generation.add", "generation.revoke", "generation.restore")
    ]
    assert {one["actor"] for one in told} == {"anna"}
    newest = regild("events", "web@2", "--limit", "1", "--json").json["events"]
    assert newest == told[-1:]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("promote", "web@1", "prod"), 4, "there are: dev, canary, production"),
        (("promote", "web@9", "dev"), 4, "no generation of this number"),
        (("rollback", "web@1"), 2, "names no channel"),
        (("revoke", "web@1", "--at", "soon", "--why", "x"), 2, "a moment is 2026-12-01"),
        (("image", "add", "web"), 4, "its name is taken"),
        (("image", "add", "WEB"), 2, "is no name for an image"),
        (("pin", "web"), 2, "say which generation"),
        (("image", "show", "none"), 4, "no image has this name"),
        (("export", "web@canary", "-o", "x"), 4, "points at nothing"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    regild: Regild, ova: Path, argv: tuple[str, ...], code: int, said: str
) -> None:
    regild("image", "add", "web")
    regild("publish", ova, "--image", "web")
    answer = regild(*argv)
    assert (answer.code, said in answer.err) == (code, True), answer.err


def test_damage_is_named_with_what_it_hurts(regild: Regild, ova: Path, kept: Path) -> None:
    regild("image", "add", "web")
    regild("publish", ova, "--image", "web")
    assert "whole" in regild("store", "check").out
    (pack,) = (kept / "blobs" / "packs").rglob("*.pack")
    content = bytearray(pack.read_bytes())
    content[100] ^= 1
    pack.write_bytes(content)
    found = regild("store", "check", "--json")
    assert found.code == 6
    (damage,) = valid("store-check", found.json)["damages"]
    assert damage["generations"] == ["web@1"]
    assert pack.name in damage["where"]
    assert regild("store", "check", "--quick").code == 0


def test_collecting_gives_up_old_generations(regild: Regild, ova: Path, raw: Path) -> None:
    regild("image", "add", "web", "--keep", "1")
    for path in (ova, raw):
        regild("publish", path, "--image", "web")
    found = valid("store-gc", regild("store", "gc", "--json").json)
    assert found["generations"] == ["web@1"]
    assert regild("export", "web@1", "-o", "x").code == 13
    assert "given up" in regild("image", "show", "web").out


def test_how_many_are_kept_can_be_said_anew(regild: Regild, ova: Path, raw: Path) -> None:
    regild("image", "add", "web", "--keep", "0")
    for path in (ova, raw):
        regild("publish", path, "--image", "web")
    assert regild("store", "gc", "--json").json["generations"] == []
    told = valid("image", regild("image", "keep", "web", 1, "--keep-days", 2, "--json").json)
    assert told["image"]["retention"] == {"newest": 1, "days": 2}
    assert regild("store", "gc", "--json").json["generations"] == []
    assert "the newest 1" in regild("image", "keep", "web", 1).out
    assert regild("store", "gc", "--json").json["generations"] == ["web@1"]
    assert regild("image", "keep", "other", 1).code == 4
    assert regild("image", "keep", "web", "--", -1).code == 2


def test_the_site_names_its_store(
    regild: Regild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGILD_STORE")
    place = tmp_path / "elsewhere" / "c.sqlite"
    place.parent.mkdir()
    config = tmp_path / "regild.toml"
    config.write_text(f'[store]\ncatalogue = "{place}"\nblobs = "{tmp_path}/blobs"\n')
    assert regild("image", "add", "web", "--config", config).code == 0
    assert place.is_file()
    config.write_text('[store]\ncatalog = "x"\n')
    wrong = regild("image", "list", "--config", config)
    assert (wrong.code, "catalog" in wrong.err) == (2, True)


def test_a_receipt_beside_an_image_is_kept_with_it(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    from regild.model.digest import sha256_of
    from regild.model.receipt import Receipt
    from regild.prove.receipt import write_statement

    digest = sha256_of(b"something")
    receipt = Receipt(plan=digest, base=digest, result=digest, carrier="record")
    place = ova.with_suffix(".receipt.json")
    place.write_bytes(write_statement(receipt, [("disk1", (digest,))]))
    regild("image", "add", "web")
    made = regild("publish", ova, "--image", "web", "--json").json["generation"]
    assert made["receipt"].startswith("sha256:")
    place.write_text("{}")
    assert regild("publish", ova, "--image", "web").code == 4
