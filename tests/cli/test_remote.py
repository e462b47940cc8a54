"""An image on a server is named by its address, and only what is needed of it is fetched."""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from regild.errors import DigestMismatch, LibraryMissing
from regild.host.remote import open_remote
from regild.host.shelf import open_shelf
from tests.cli import golden, s3
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.host.ranges import Shelf, serve_ranges

Regild = Callable[..., Said]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, raw: Path, vmdk: Path, ova: Path) -> Path:
    """A folder with one guest in several forms."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(ova, folder / "golden.ova")
    shutil.copy(vmdk, folder / "golden.vmdk")
    (folder / "golden.raw.gz").write_bytes(gzip.compress(raw.read_bytes(), 1))
    golden.converted(Path(shutil.copy(raw, folder / "golden.raw")), "qcow2")
    return folder


@pytest.fixture
def shelf(files: Path) -> Iterator[Shelf]:
    with serve_ranges(files) as served:
        yield served


def packages(said: Said) -> set[tuple[str, str]]:
    assert said.code == 0, said.err
    return {(one["name"], one["version"]) for one in valid("describe", said.json)["packages"]}


FORMS = ("golden.ova", "golden.vmdk", "golden.raw", "golden.raw.gz", "golden.qcow2")


@pytest.mark.parametrize("name", FORMS)
def test_a_guest_on_a_server_is_described_as_it_is_here(
    regild: Regild, shelf: Shelf, name: str
) -> None:
    here = regild("describe", shelf.folder / name, "--json")
    there = regild("describe", f"{shelf.url}/{name}", "--json")
    assert packages(here) == packages(there) != set()
    assert there.json["image"] == f"{shelf.url}/{name}"
    assert len(shelf.requests) < 15
    assert shelf.bytes_sent < 4 << 20


def test_the_other_commands_that_read_take_an_address(regild: Regild, shelf: Shelf) -> None:
    address = f"{shelf.url}/golden.ova"
    here = shelf.folder / "golden.ova"
    assert regild("ls", address, "/etc").out == regild("ls", here, "/etc").out != ""
    assert regild("cat", address, "/etc/debian_version").out == "12.4\n"
    verified = regild("verify", address, "--json")
    assert verified.code == 0
    assert valid("verify", verified.json)["manifest"]["state"] == "whole"
    assert regild("diff", here, address).code == 0
    linted = regild("lint", address, "--json")
    assert linted.code == regild("lint", here).code
    assert valid("lint", linted.json)["image"] == address


def test_a_described_copy_of_what_is_on_a_server(
    regild: Regild, shelf: Shelf, tmp_path: Path
) -> None:
    out = tmp_path / "out.ova"
    said = regild("describe", f"{shelf.url}/golden.ova", "-o", out, "--json")
    assert said.code == 0, said.err
    assert regild("describe", out, "--json").json["descriptor"]["state"] == "equivalent"


WANTS_IT_HERE = {
    "update": ("-o", "new.ova"),
    "resize": ("+1G", "-o", "new.ova"),
    "run": ("-o", "new.ova", "--", "/bin/true"),
}


@pytest.mark.parametrize("command", WANTS_IT_HERE)
def test_what_changes_an_image_wants_it_here_and_its_help_says_so(
    regild: Regild, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = regild(command, f"{shelf.url}/golden.ova", *WANTS_IT_HERE[command])
    assert said.code == 5
    assert "download it first" in said.err
    assert not list(tmp_path.iterdir())
    assert "on this machine" in " ".join(regild(command, "--help").out.split())


def test_several_are_told_in_one_table(regild: Regild, shelf: Shelf) -> None:
    said = regild("describe", f"{shelf.url}/golden.ova", f"{shelf.url}/none.ova", "--json")
    assert said.code == 4
    assert [one.get("error", {}).get("kind") for one in said.json] == [None, "MissingFile"]


def test_a_descriptor_is_read_without_the_disk(
    regild: Regild, files: Path, shelf: Shelf, ova: Path
) -> None:
    assert regild("describe", ova, "-o", files / "described.ova", "--sbom", "none").code == 0
    said = regild("describe", "--basis", "descriptor", f"{shelf.url}/described.ova", "--json")
    assert said.code == 0
    assert said.json["descriptor"]["state"] == "claimed"
    assert len(shelf.requests) <= 2
    assert shelf.bytes_sent < 1 << 20
    assert regild("describe", "--basis", "descriptor", f"{shelf.url}/golden.ova").code == 3


def test_a_folder_package_on_a_server_is_named(regild: Regild, files: Path, shelf: Shelf) -> None:
    (files / "x.ovf").write_bytes(golden.envelope({"disk1": files / "golden.vmdk"}))
    assert "server" in regild("describe", f"{shelf.url}/x.ovf").err


def test_without_the_library_for_s3_pip_is_named(
    regild: Regild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict[str, Any], sys.modules), "s3fs", None)
    said = regild("describe", "s3://none/x.ova")
    assert said.code == 15
    assert "pip install 'regild[remote]'" in said.err and "apt-get" not in said.err
    with pytest.raises(LibraryMissing):
        open_shelf("s3://none/kept")


def test_an_object_of_s3_is_read_by_ranges(
    regild: Regild, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is moto's: a stand-in for an object store, not one."""
    for key, setting in s3.ENVIRONMENT.items():
        monkeypatch.setenv(key, setting)
    with s3.serve_s3(files) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for name in ("golden.ova", "golden.raw.gz"):
            here = regild("describe", files / name, "--json")
            there = regild("describe", f"s3://images/{name}", "--json")
            assert packages(there) == packages(here)
            assert there.json["image"] == f"s3://images/{name}"
        missing = regild("describe", "s3://images/none.ova", "--json")
        assert missing.code == 4
        assert missing.json["error"]["kind"] == "MissingFile"
        # Another object under the same name, while it is read.
        file = open_remote("s3://images/golden.raw")
        (files / "golden.raw").write_bytes(bytes(golden.DISK_BYTES))
        s3.put(f"{endpoint}/images/golden.raw", (files / "golden.raw").read_bytes())
        with pytest.raises(DigestMismatch):
            file.read(0, 10)
