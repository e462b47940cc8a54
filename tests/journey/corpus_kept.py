"""What a long comparison has found out, kept in this checkout, so that a run that was ended or
mended goes on from there.

An image and what a mounted disk makes of it belong to the list and to how they are made; a verdict
belongs to the code that it speaks of as well, and is given again once that has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from regild.change.apply import DiskFile
from tests.change.guests import Guest, make_repository, parts_in, plan_of
from tests.journey.corpus import (
    Full,
    batches,
    build_image,
    called,
    read_image,
    upgrade_mounted,
)
from tests.journey.peers import mounted, tree_of

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "corpus"
TOLD_BY = [Path(__file__).with_name(name) for name in ("peers.py", "alike.py")]
"""What is compared of a file."""
MODULE = "tests.journey.corpus_kept"
JUDGED = ("change", "image", "host", "model", "feeds/deb.py")
"""Whose behaviour a verdict is about."""
OWN = (
    "/var/log/",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/lock",
    "/tmp/",
    "/run/",
    "/dev/",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/etc/ssh/ssh_host_",
)
"""Logs, caches, what belongs to a running machine, and the image's own identity, which it keeps."""

JOINED = "REGILD_CORPUS"
"""Several images made one, such as `base-2+base-3`: what both draw in is then upgraded once."""

Tree = dict[str, str]
"""Every path, and all that it is."""


def digest_of(paths: Iterable[Path], *words: str) -> str:
    """A short name for the content of files and some words."""
    found = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def code_digest() -> str:
    """What a verdict hangs on: the rooms that carry a change out, and how trees are compared."""
    places = [ROOT / "src/regild" / name for name in JUDGED]
    files = [path for place in places for path in [place, *place.rglob("*.py")] if path.is_file()]
    return digest_of([*files, *Path(__file__).parent.glob("*corpus*.py"), *TOLD_BY])


def expected_name() -> str:
    """The file of a tree beside its image: of how it was told, as well."""
    return f"expected-{digest_of(TOLD_BY)}.json.gz"


def asked() -> tuple[str, ...]:
    """The images of the list, and those that the environment joins."""
    return tuple(dict.fromkeys((*batches(), *os.environ.get(JOINED, "").split())))


def names_of(name: str) -> tuple[str, ...]:
    """The packages of the list that an image is made for."""
    return tuple(one for part in name.split("+") for one in batches()[part])


class Batch:
    """One image of the list, with what is known of it."""

    def __init__(self, name: str) -> None:
        self.name, self.names = name, names_of(name)
        made_by = [Path(__file__).with_name("corpus.py"), ROOT / "demo/disk.py"]
        self.folder = KEPT / f"{name}-{digest_of(made_by, *self.names)}"
        self.verdict = KEPT / f"{name}.json"

    def image(self) -> Full:
        """The image and its newer packages, built where that was not done."""
        if not self.folder.exists():
            for older in KEPT.glob(f"{self.name}-{'?' * 16}"):
                shutil.rmtree(older)
            making = KEPT / f".{self.name}"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            build_image(self.names, making)
            making.rename(self.folder)
        return read_image(self.folder)

    def mounted(self) -> subprocess.Popen[bytes]:
        """Begin to find out what tree the same commands give on a mounted disk, apart: in a process
        of its own, whose mount nobody else's name space keeps a copy of."""
        line = ["unshare", "--mount", sys.executable, "-m", MODULE, self.name]
        return subprocess.Popen(line, cwd=ROOT)

    def expected(self) -> Tree:
        """What `mounted` found."""
        found: Tree = json.loads(gzip.decompress((self.folder / expected_name()).read_bytes()))
        return found

    def find_expected(self) -> None:
        """Run the commands in a chroot on a copy of the disk, where that was not done."""
        if (self.folder / expected_name()).exists():
            return
        full, copy = self.image(), self.folder / "mounted.raw"
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            repository = Path(work) / "repository"
            repository.mkdir()
            make_repository(repository, plan_of(*full.debs), full.debs)
            called(["cp", "--sparse=always", str(full.disk), str(copy)])
            with mounted(copy, Path(work) / "mount"):
                log = self.folder / "chroot.log"
                upgrade_mounted(Path(work) / "mount", repository, full.debs, log)
        tree = told(tree_of(copy, OWN))
        copy.unlink()
        making = self.folder / f".{expected_name()}"
        making.write_bytes(gzip.compress(json.dumps(tree).encode(), 1))
        making.rename(self.folder / expected_name())

    def guest(self) -> Guest:
        """The image as a guest to change."""
        disk = self.image().disk
        place = DiskFile(disk, 0, disk.stat().st_size)
        return Guest(place, parts_in(place))

    def settled(self, judge: Callable[[], dict[str, int]]) -> dict[str, int]:
        """The figures of this batch for this code: those of an earlier run, or new ones, which are
        kept; a judge that fails keeps nothing."""
        code = code_digest()
        if self.verdict.exists():
            known = json.loads(self.verdict.read_text())
            if (known["image"], known["code"]) == (self.folder.name, code):
                figures: dict[str, int] = known["figures"]
                return figures
        figures = judge()
        scripted = sorted(self.image().scripted)
        row = {"image": self.folder.name, "code": code, "figures": figures, "scripted": scripted}
        self.verdict.write_text(json.dumps({**row, "at": time.strftime("%Y-%m-%d %H:%M")}))
        return figures


def told(tree: dict[str, tuple[object, ...]]) -> Tree:
    """A tree as text."""
    return {path: repr(row) for path, row in tree.items()}


if __name__ == "__main__":
    Batch(sys.argv[1]).find_expected()
