"""What a package file puts into a guest is read whole, with digests, and within limits."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import Malformed, MissingFile
from regild.feeds.cache import Cache
from regild.feeds.feed import SHIPPED_SUFFIX
from regild.feeds.feed import read_shipped as kept_shipped
from regild.feeds.shipped import read_shipped
from regild.model.digest import Digest
from regild.model.plan import Step
from tests.change.guests import build_deb


def test_every_kind_of_path_is_read_with_what_it_holds(tmp_path: Path) -> None:
    deb = build_deb(
        tmp_path,
        "zip",
        files={"/usr/bin/zip": b"zip", "/etc/zip.conf": b"level=9\n", "/usr/share/zip/empty": b""},
        links={"/usr/bin/zipper": "/usr/bin/zip"},
        symlinks={"/usr/bin/z": "zip"},
        conffiles="/etc/zip.conf\n",
    )
    paths = {one.path: one for one in read_shipped(deb.path, "zip", "all").paths}
    zip_ = paths["/usr/bin/zip"]
    assert zip_.digest == "sha256:" + hashlib.sha256(b"zip").hexdigest()
    assert (zip_.kind, zip_.bytes, zip_.mode & 0o444, zip_.is_roots) == ("file", 3, 0o444, True)
    assert paths["/usr/bin/zipper"].digest == zip_.digest
    assert (paths["/usr/bin/z"].kind, paths["/usr/bin/z"].target) == ("symlink", "zip")
    assert paths["/usr/bin"].kind == "directory"
    assert paths["/usr/share/zip/empty"].bytes == 0
    assert [one.path for one in paths.values() if one.is_config] == ["/etc/zip.conf"]
    assert paths["/etc/zip.conf"].md5 == hashlib.md5(b"level=9\n").hexdigest()


def test_a_package_file_is_unpacked_once_and_what_was_damaged_is_read_anew(tmp_path: Path) -> None:
    deb = build_deb(tmp_path, "zip", files={"/usr/bin/zip": b"zip", "/etc/odd \xe9": b"1"})
    step, cache = Step("upgrade", "zip", "all", archive=deb.archive), tmp_path / "cache"
    first = kept_shipped(deb.path, step, deb.archive, cache)
    assert first == read_shipped(deb.path, "zip", "all")
    kept = Cache(cache).place(deb.archive.digest, SHIPPED_SUFFIX)
    assert kept_shipped(tmp_path / "gone", step, deb.archive, cache) == first
    kept.write_bytes(kept.read_bytes()[:-5])
    with pytest.raises(MissingFile):
        kept_shipped(tmp_path / "gone", step, deb.archive, cache)
    assert kept_shipped(deb.path, step, deb.archive, cache) == first


def test_what_no_sha256_names_is_unpacked_each_time(tmp_path: Path) -> None:
    deb = build_deb(tmp_path, "zip", files={"/usr/bin/zip": b"zip"})
    part = replace(deb.archive, digest=Digest("sha1:" + 40 * "0"))
    step, cache = Step("upgrade", "zip", "all", archive=part), tmp_path / "cache"
    assert kept_shipped(deb.path, step, part, cache) == read_shipped(deb.path, "zip", "all")
    with pytest.raises(MissingFile):
        kept_shipped(tmp_path / "gone", step, part, cache)


def test_a_hard_link_to_nothing_before_it_is_malformed(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("./a")
        link.type, link.linkname = tarfile.LNKTYPE, "./b"
        archive.addfile(link)
    parts = {"control.tar": tarfile_of(), "data.tar": out.getvalue()}
    path = tmp_path / "x.deb"
    path.write_bytes(
        b"!<arch>\n"
        + b"".join(
            f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode() + content
            for name, content in parts.items()
        )
    )
    with pytest.raises(Malformed, match="hard link to nothing"):
        read_shipped(path, "x", "all")


def tarfile_of() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w"):
        pass
    return out.getvalue()
