"""Targets on real servers: Debian's docker-registry, and moto's stand-in for S3."""

from __future__ import annotations

import _thread
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regild.errors import PublishError
from regild.host import multipart, web_api
from regild.host import shelf as shelves
from regild.host.scratch import passing_folder
from regild.host.web_api import WebApi
from regild.model.digest import sha256_of
from regild.model.progress import Silent
from regild.publish import oci_target
from tests.cli import s3
from tests.cli.conftest import Said
from tests.cli.registries import open_registry
from tests.cli.schemas import valid

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regild: Regild, ova: Path) -> None:
    """A store with one generation."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    regild("image", "add", "web")
    assert regild("publish", ova, "--image", "web").code == 0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server: a stand-in for an object store, not one."""
    with s3.serve_s3(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address below which nothing is yet."""
    for name, value in {**s3.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("regild.host.bookmark.cache_folder", lambda: tmp_path / "cache")
    return f"s3://images/{tmp_path.name}"


def came_back(regild: Regild, source: str, name: str, ova: Path, tmp_path: Path) -> None:
    """What is imported into another line has every byte."""
    regild("image", "add", "copy")
    brought = regild("import", source, name, "--image", "copy", "--scratch", tmp_path)
    assert brought.code == 0, brought.err
    out = tmp_path / "back.ova"
    assert regild("export", "copy", "-o", out).code == 0
    assert out.read_bytes() == ova.read_bytes()


def test_a_folder_takes_and_gives_back_every_byte(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    first = regild("push", "web@1", target, "--scratch", tmp_path, "--json")
    assert valid("push", first.json)["sent_bytes"] == ova.stat().st_size
    again = regild("push", "web@1", target, "--scratch", tmp_path, "--json")
    assert again.json["sent_bytes"] == 0
    came_back(regild, str(target), "web@1", ova, tmp_path)


def test_a_revoked_generation_is_not_pushed(regild: Regild, tmp_path: Path) -> None:
    regild("revoke", "web@1", "--why", "CVE-2026-1")
    refused = regild("push", "web@1", tmp_path / "target", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (13, "Revoked")
    assert not (tmp_path / "target").exists()


def test_a_target_that_is_none_is_named_with_those_that_are(regild: Regild) -> None:
    refused = regild("push", "web@1", "gopher://x")
    assert (refused.code, "oci://" in refused.err) == (2, True)


@pytest.mark.slow
def test_a_bucket_takes_and_gives_back_every_byte(
    regild: Regild, ova: Path, tmp_path: Path, bucket: str
) -> None:
    pushed = regild("push", "web@1", bucket, "--scratch", tmp_path)
    assert pushed.code == 0, pushed.err
    came_back(regild, bucket, "web@1", ova, tmp_path)


PART = 5 << 20
"""The least that S3 takes of a part but the last."""


@pytest.mark.slow
def test_an_object_that_broke_off_goes_on_with_the_parts_that_are_missing(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * (3 * PART // 256) + b"the last part"
    path = tmp_path / "big"
    path.write_bytes(content)
    monkeypatch.setattr(multipart, "PART_BYTES", PART)
    shelf, sent = shelves.BucketShelf(bucket), []
    send = multipart._Upload.send

    def breaking(self: multipart._Upload, path: Path, number: int, *more: int) -> tuple[int, str]:
        sent.append(number)
        if number == 3 and sent.count(3) == 1:
            raise KeyboardInterrupt
        return send(self, path, number, *more)

    monkeypatch.setattr(multipart._Upload, "send", breaking)
    with pytest.raises(KeyboardInterrupt):
        shelf.put_file("web/1/big", path)
    assert shelf.size("web/1/big") is None, "it appears only when it is whole"
    done = []
    assert shelf.put_file("web/1/big", path, done.append) < len(content) - PART
    assert sum(done) == len(content), "what was there counts as done"
    assert shelf.read("web/1/big", 0, len(content)) == content
    assert uploads(shelf) == []


@pytest.mark.slow
def test_an_upload_of_other_bytes_is_given_up_and_one_that_is_gone_begun_anew(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", PART)
    shelf, path = shelves.BucketShelf(bucket), tmp_path / "big"

    def no(self: multipart._Upload, *argv: object) -> tuple[int, str]:
        raise PublishError(where="the line", why="it broke")

    with monkeypatch.context() as broken:
        broken.setattr(multipart._Upload, "send", no)
        for content in (b"a", b"b"):
            path.write_bytes(content * (PART + 1))
            with pytest.raises(PublishError):
                shelf.put_file("web/1/big", path)
    (left,) = uploads(shelf)
    told = {"Bucket": "images", "Key": left["Key"], "UploadId": left["UploadId"]}
    shelf._system.call_s3("abort_multipart_upload", **told)
    assert shelf.put_file("web/1/big", path) == PART + 1
    assert shelf.read("web/1/big", 0, PART + 1) == path.read_bytes()
    assert uploads(shelf) == []


def uploads(shelf: shelves.BucketShelf) -> list[dict[str, str]]:
    """What the server keeps of uploads that were not ended, below this shelf."""
    told = shelf._system.call_s3("list_multipart_uploads", Bucket="images")
    prefix = shelf.where.removeprefix("s3://images/")
    return [one for one in told.get("Uploads", ()) if one["Key"].startswith(prefix)]


@pytest.mark.slow
def test_a_registry_takes_an_artifact_with_what_is_said_about_it(
    regild: Regild, ova: Path, tmp_path: Path, registry: str
) -> None:
    target = f"oci+http://{registry}/golden/web"
    first = regild("push", "web@1", target, "--scratch", tmp_path, "--json")
    assert first.code == 0, first.err
    assert first.json["sent_bytes"] == ova.stat().st_size
    again = regild("push", "web@1", target, "--scratch", tmp_path, "--json")
    assert (again.json["sent_bytes"], again.json["digest"]) == (0, first.json["digest"])
    kinds = {
        one["artifactType"] for one in oci_target.Registry(target).referrers(first.json["digest"])
    }
    assert kinds == {"application/vnd.regild.content.v1+json", "application/vnd.cyclonedx+json"}
    came_back(regild, target, "web-1", ova, tmp_path)


@pytest.mark.slow
def test_an_interrupted_upload_goes_on_where_it_broke_off(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci_target, "CHUNK_BYTES", 1 << 16)
    monkeypatch.setattr("regild.host.bookmark.cache_folder", lambda: tmp_path / "cache")
    content = bytes(range(256)) * 1024
    path = tmp_path / "blob"
    path.write_bytes(content)
    repository = oci_target.Registry(f"oci+http://{registry}/golden/resumed")
    real, count = WebApi.upload, 0

    def breaking(self: WebApi, *argv: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count == 3:
            raise PublishError(where="the line", why="it broke")
        return real(self, *argv, **named)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(WebApi, "upload", breaking)
    digest = sha256_of(content)
    with pytest.raises(PublishError, match="it broke"):
        repository.put_blob(path, digest, len(content), Silent())
    assert repository.put_blob(path, digest, len(content), Silent()) == len(content) - (2 << 16)
    repository.blob(digest, len(content), tmp_path / "back", Silent())
    assert (tmp_path / "back").read_bytes() == content


@pytest.mark.slow
def test_a_chunk_that_is_on_its_way_is_sent_to_its_end_after_ctrl_c(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry gives an upload up that broke off inside of a chunk."""
    monkeypatch.setattr(oci_target, "CHUNK_BYTES", 4 << 20)
    monkeypatch.setattr("regild.host.bookmark.cache_folder", lambda: tmp_path / "cache")
    content = bytes(range(256)) * (12 << 12)
    path = tmp_path / "blob"
    path.write_bytes(content)
    repository = oci_target.Registry(f"oci+http://{registry}/golden/interrupted")
    parts, calls = web_api._parts, []

    def interrupted(file: Path, begin: int, length: int, *more: Any) -> Iterator[bytes]:
        for number, piece in enumerate(parts(file, begin, length, *more)):
            calls.append(begin)
            if begin == 4 << 20 and number == 1 and calls.count(begin) == 2:
                _thread.interrupt_main()
                time.sleep(0.5)
            yield piece

    monkeypatch.setattr(web_api, "_parts", interrupted)
    digest = sha256_of(content)
    with pytest.raises(KeyboardInterrupt):
        repository.put_blob(path, digest, len(content), Silent())
    assert repository.put_blob(path, digest, len(content), Silent()) == 4 << 20
    assert repository.has_blob(digest)


def test_what_a_killed_push_left_goes_with_the_next(tmp_path: Path, regild: Regild) -> None:
    line = "import os, sys; from pathlib import Path; from regild.host.scratch import *;"
    line += "stack = passing_folder(Path(sys.argv[1]), 'push-'); folder = stack.__enter__();"
    line += "(folder / 'big').write_bytes(b'x'); os.kill(os.getpid(), 9)"
    scratch = tmp_path / "scratch"
    subprocess.run([sys.executable, "-c", line, scratch])
    (left,) = scratch.iterdir()
    with passing_folder(scratch, "push-") as busy:
        assert not left.exists()
        assert regild("push", "web@1", tmp_path / "target", "--scratch", scratch).code == 0
        assert busy.is_dir(), "what is used stays"
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_container_disk_is_what_kubevirt_takes_and_skopeo_reads(
    regild: Regild, raw: Path, tmp_path: Path, registry: str
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed: scripts/setup slow")
    target = f"containerdisk+http://{registry}/disks/web:stable"
    pushed = regild("push", "web@1", target, "--scratch", tmp_path)
    assert pushed.code == 0, pushed.err
    copy = ["skopeo", "copy", "--src-tls-verify=false", f"docker://{registry}/disks/web:stable"]
    copied = subprocess.run([*copy, f"dir:{tmp_path}/layout"], capture_output=True, text=True)
    assert copied.returncode == 0, copied.stderr
    manifest = json.loads((tmp_path / "layout" / "manifest.json").read_text())
    (layer,) = manifest["layers"]
    with tarfile.open(tmp_path / "layout" / layer["digest"].partition(":")[2]) as opened:
        entries = {one.name: (one.uid, one.gid, one.isfile()) for one in opened}
        assert entries == {"disk": (107, 107, False), "disk/disk.qcow2": (107, 107, True)}
        disk = opened.extractfile("disk/disk.qcow2")
        assert disk is not None
        (tmp_path / "disk.qcow2").write_bytes(disk.read())
    qcow2, back = tmp_path / "disk.qcow2", tmp_path / "back.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", qcow2, back], check=True)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (back, raw)]
    assert digests[0] == digests[1]
