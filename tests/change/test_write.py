"""WRITE: a record into a filesystem, read back; damaged filesystems end in an error, not a hang."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from regild.change.record import read_record
from regild.change.tree import Part
from regild.change.write import main as write
from regild.errors import IntegrityError
from regild.model.json import to_json
from regild.model.progress import Silent
from regild.model.record import Entry, Inode, Record
from tests.image.ext_images import KINDS, check, flattened, make_image, opened
from tests.image.test_ext import damaged, outcome_of

NOW = 1_700_000_000_000_000_000
pytestmark = pytest.mark.root


def fill(root: Path) -> Path:
    (root / "folder").mkdir(parents=True)
    for number in range(40):
        (root / f"folder/{number}").write_bytes(b"%d" % number * number * 9)
        os.setxattr(root / f"folder/{number}", "user.x", b"y" * (number + 1))
    (root / "twin").hardlink_to(root / "folder/7")
    (root / "link").symlink_to("x" * 80)
    return root


def change(upper: Path) -> None:
    """The upper directory of a change of everything, as overlayfs leaves it."""
    (upper / "folder").mkdir(parents=True)
    for number in (1, 2, 3):
        (upper / f"folder/{number}").write_bytes(b"new content" * 1000 * number)
    os.mknod(upper / "folder/4", 0o020000, 0)
    (upper / "a/b").mkdir(parents=True)
    (upper / "a/b/c").symlink_to("../..")
    (upper / "a/one").write_bytes(b"x" * 70)
    (upper / "a/two").hardlink_to(upper / "a/one")
    (upper / "link").write_bytes(b"a file now")


def record_in(job: Path, upper: Path, lower: Path) -> Record:
    with (job / "content").open("wb") as content:
        record = read_record(upper, lower, content, 1 << 30)
    (job / "record.json").write_text(to_json(record, 0))
    return record


def write_into(image: Path, job: Path) -> None:
    part = Part("/", 0, image.stat().st_size, "ext4")
    with image.open("rb") as file:
        request = {"disk": file.fileno(), "where": "test", "offset": 0, "bytes": part.bytes}
        write({**request, "parts": to_json((part,), 0), "job": str(job), "now_ns": NOW}, Silent())


def moved(job: Path, image: Path) -> None:
    """Put the overlay where `opened` finds it."""
    for ending in ("", ".map"):
        (job / f"overlay{ending}").rename(f"{image.with_suffix('.overlay')}{ending}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_arrives_in_every_kind_of_filesystem(kind: str, tmp_path: Path) -> None:
    lower, upper = fill(tmp_path / "lower"), tmp_path / "upper"
    image = make_image(tmp_path / "image", kind, lower, 8 << 20)
    change(upper)
    # Only its time: what lies inside the inode (inline_data) must not be lost for that.
    shutil.copy2(lower / "folder/5", upper / "folder/5")
    os.setxattr(upper / "folder/5", "user.x", b"y" * 6)
    os.utime(upper / "folder/5", ns=(5, 5 * 10**9))
    record_in(tmp_path, upper, lower)
    write_into(image, tmp_path)
    moved(tmp_path, image)
    check(flattened(image))
    with opened(image) as changing:
        paths = dict(changing.volume.walk())
        read = changing.volume.read_content
        assert b"".join(p for _, p in read(paths["/folder/2"])) == b"new content" * 2000
        assert b"".join(p for _, p in read(paths["/folder/5"])) == b"5" * 45
        assert changing.volume.read_attributes(paths["/folder/5"]) == {"user.x": b"y" * 6}
        assert paths["/folder/5"].mtime_ns == 5 * 10**9
        assert "/folder/4" not in paths
        assert paths["/a/one"].number == paths["/a/two"].number
        assert b"".join(p for _, p in read(paths["/link"])) == b"a file now"


def test_what_reads_back_otherwise_is_an_error(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", "ext4")
    (tmp_path / "content").write_bytes(b"other")
    digest = "sha256:" + hashlib.sha256(b"wrong").hexdigest()
    becomes = Inode("file", bytes=5, digest=digest)  # type: ignore[arg-type]  # a digest in text
    record = Record((Entry("/x", Inode("absent"), becomes, 0),), 5)
    (tmp_path / "record.json").write_text(to_json(record))
    with pytest.raises(IntegrityError, match="reads back as"):
        write_into(image, tmp_path)


@pytest.mark.parametrize("kind", ["ext4", "ext4 inline", "ext4 1k, no checksums", "ext3 1k"])
@pytest.mark.parametrize(
    "seeds", [range(6), pytest.param(range(2000, 2075), marks=pytest.mark.slow)], ids=len
)
def test_writing_into_a_damaged_filesystem_ends_well_or_in_an_error(
    kind: str, seeds: range, tmp_path: Path
) -> None:
    lower, upper, job = fill(tmp_path / "lower"), tmp_path / "upper", tmp_path / "job"
    whole = make_image(tmp_path / "image", kind, lower, 4 << 20).read_bytes()
    change(upper)
    places = [place for place in range(1024, len(whole), 64) if any(whole[place : place + 64])]
    for seed in seeds:
        job.mkdir()
        record_in(job, upper, lower)
        bad = tmp_path / "bad"
        bad.write_bytes(damaged(whole, places, seed))
        assert outcome_of(lambda b=bad, j=job: write_into(b, j)) in (0, 1), seed  # type: ignore[misc]  # bound early
        shutil.rmtree(job)
