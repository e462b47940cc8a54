"""The target `libvirt://` against a real libvirtd: a pool takes a disk and gives it back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.daemon import URI, running_daemon
from regild.errors import UsageError
from regild.host import pool
from regild.publish.boot_disk import split_format
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.sums import raw_digest, sha256
from tests.cli.watches import watch

Regild = Callable[..., Said]
POOL = "regild-test-pool"
TARGET = f"libvirt:///system/{POOL}"


def virsh(*words: str | Path) -> str:
    line = ["virsh", "-q", "-c", URI, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def daemon() -> Iterator[None]:
    pytest.importorskip("libvirt", reason="libvirt's binding is missing: scripts/setup slow")
    with running_daemon():
        yield


@pytest.fixture
def volumes(daemon: None, tmp_path: Path) -> Iterator[Path]:
    """The folder of a pool that is there for one test."""
    folder = tmp_path / "pool"
    folder.mkdir()
    subprocess.run(["virsh", "-q", "-c", URI, "pool-destroy", POOL], capture_output=True)
    virsh("pool-create-as", POOL, "dir", "--target", folder)
    try:
        yield folder
    finally:
        virsh("pool-destroy", POOL)


@pytest.fixture
def push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regild: Regild, ova: Path
) -> Callable[..., Said]:
    """Pushes the only generation of a new store."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("regild.host.bookmark.cache_folder", lambda: tmp_path / "cache")
    regild("image", "add", "web")
    assert regild("publish", ova, "--image", "web").code == 0
    return lambda *more: regild("push", "web@1", *more, "--scratch", tmp_path, "--json")


@pytest.mark.slow
@pytest.mark.root
def test_a_pool_takes_a_disk_and_gives_it_back(
    regild: Regild, push: Callable[..., Said], raw: Path, tmp_path: Path, volumes: Path
) -> None:
    first = push(TARGET)
    assert first.code == 0, first.err
    disk = volumes / "web-1.disk.qcow2"
    assert valid("push", first.json)["sent_bytes"] == disk.stat().st_size
    assert raw_digest(disk, tmp_path) == sha256(raw)
    assert "<format type='qcow2'/>" in virsh("vol-dumpxml", disk.name, "--pool", POOL)
    assert push(TARGET).json["sent_bytes"] == 0
    regild("image", "add", "copy")
    brought = regild("import", TARGET, "web@1", "--image", "copy", "--scratch", tmp_path)
    assert brought.code == 0, brought.err
    assert regild("export", "copy", "-o", tmp_path / "back.qcow2").code == 0
    assert (tmp_path / "back.qcow2").read_bytes() == disk.read_bytes()
    assert watch(regild, tmp_path, TARGET)["digest"] == f"sha256:{sha256(disk)}"


@pytest.mark.slow
@pytest.mark.root
def test_a_disk_of_somebody_else_is_taken_from_a_pool(
    regild: Regild, push: Callable[..., Said], raw: Path, tmp_path: Path, volumes: Path
) -> None:
    (volumes / "other.img").write_bytes(raw.read_bytes())
    brought = regild("import", TARGET, "other.img", "--image", "web", "--scratch", tmp_path)
    assert brought.code == 0, brought.err
    assert regild("export", "web@2", "-o", tmp_path / "back.img").code == 0
    assert (tmp_path / "back.img").read_bytes() == raw.read_bytes()


@pytest.mark.slow
@pytest.mark.root
def test_a_push_that_broke_off_goes_on(
    push: Callable[..., Said],
    raw: Path,
    tmp_path: Path,
    volumes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "SEND_BYTES", 1 << 16)
    sent, send = [], pool.PoolShelf._send

    def breaking(self: pool.PoolShelf, volume: object, content: bytes, begin: int) -> None:
        sent.append(begin)
        if len(sent) == 3:
            raise KeyboardInterrupt
        send(self, volume, content, begin)

    monkeypatch.setattr(pool.PoolShelf, "_send", breaking)
    target = f"{TARGET}?format=raw"
    assert push(target).code != 0
    assert not (volumes / "web-1.label.json").exists()
    again = push(target)
    assert again.code == 0, again.err
    begins = [0, 1 << 16, 2 << 16]
    assert sent[:4] == [*begins, 2 << 16], "what the daemon had was not sent again"
    assert sha256(volumes / "web-1.disk.raw") == sha256(raw)


@pytest.mark.slow
@pytest.mark.root
def test_a_push_that_was_damaged_begins_anew(
    push: Callable[..., Said], raw: Path, volumes: Path
) -> None:
    """The length is there from the begin; only the bytes say whether they came."""
    (volumes / "web-1.disk.raw").write_bytes(b"x" * raw.stat().st_size)
    assert push(f"{TARGET}?format=raw").code == 0
    assert sha256(volumes / "web-1.disk.raw") == sha256(raw)


@pytest.mark.slow
@pytest.mark.root
def test_what_domains_may_stand_on_is_not_changed(push: Callable[..., Said], volumes: Path) -> None:
    assert push(TARGET).code == 0
    label = volumes / "web-1.label.json"
    told = json.loads(label.read_text())
    label.write_text(json.dumps(told | {"digest": f"sha256:{'0' * 64}"}))
    refused = push(TARGET)
    assert (refused.code, "is there and stays" in refused.json["error"]["sentence"]) == (13, True)


@pytest.mark.slow
@pytest.mark.root
def test_a_pool_that_is_not_there(push: Callable[..., Said], daemon: None) -> None:
    refused = push("libvirt:///system/no-such-pool")
    assert refused.json["error"]["kind"] == "MissingFile"


@pytest.mark.parametrize("address", ["libvirt:///POOL", "libvirt://host/system/", "libvirt://a"])
def test_an_address_without_a_pool(address: str) -> None:
    with pytest.raises(UsageError, match="/system/POOL"):
        pool._read_address(address)


def test_addresses_of_daemons() -> None:
    assert pool._read_address("libvirt:///system/a") == ("qemu:///system", "a")
    found = pool._read_address("libvirt+ssh://me@host/session/a?no_tty=1")
    assert found == ("qemu+ssh://me@host/session?no_tty=1", "a")


def test_a_format_is_said_in_the_address() -> None:
    assert split_format("libvirt:///system/a") == ("libvirt:///system/a", "qcow2")
    assert split_format("x://h/a?format=raw&b=c") == ("x://h/a?b=c", "raw")
    with pytest.raises(UsageError, match="qcow2 or raw"):
        split_format("x://h/a?format=vmdk")
