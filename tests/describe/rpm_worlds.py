"""Real rpm databases: the shared ones, and ones that this machine's rpm makes."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regild.image.tree import Guest
from tests.describe.guests import MemoryTree, guest

needs_rpm = pytest.mark.skipif(
    shutil.which("rpm") is None or shutil.which("rpmbuild") is None,
    reason="rpm and rpmbuild are not installed here",
)

MAGIC = bytes.fromhex("8eade80100000000")
"""What stands before a header in a file and not in a database."""
SLE = 'ID=sles\nVERSION_ID="15.3"\n'
QUERY = "%{NAME} %{EPOCHNUM} %{VERSION}-%{RELEASE} %{ARCH} %{SOURCERPM}\n"
FILE = "/var/lib/rpm/rpmdb.sqlite"

SPEC = """Name: {name}
Version: {version}
Release: 3
Summary: s
License: MIT
BuildArch: noarch
{more}
%description
d
%files
"""


def rpm(folder: Path, *words: str, stdin: bytes = b"", tool: str = "rpm") -> str:
    argv = [tool, "--dbpath", str(folder), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, check=True).stdout.decode()


def listed(folder: Path, *words: str) -> list[str]:
    """What rpm itself lists, keys left out."""
    lines = rpm(folder, *words, "-qa", "--qf", QUERY).splitlines()
    return sorted(line for line in lines if not line.startswith("gpg-pubkey "))


def build(folder: Path, name: str, version: str, more: str = "") -> Path:
    """A real .rpm without files."""
    spec = folder / f"{name}.spec"
    spec.write_text(SPEC.format(name=name, version=version, more=more))
    argv = ["rpmbuild", "--quiet", "-bb", "--define", f"_topdir {folder}/top", str(spec)]
    subprocess.run(argv, capture_output=True, check=True)
    (found,) = (folder / "top" / "RPMS").rglob(f"{name}-{version}-*.rpm")
    return found


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Keeps what is written meanwhile in the write-ahead log, as a machine that is running does."""
    reader = sqlite3.connect(folder / "rpmdb.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM Packages").fetchone()
    try:
        yield
    finally:
        reader.close()


def sqlite_guest(folder: Path, **more: bytes) -> Guest:
    """A guest with the database files of a folder; keywords replace or add by suffix."""
    files: dict[str, bytes | str] = {"/etc/os-release": SLE}
    for suffix in ("", "-wal", "-shm"):
        file = folder / f"rpmdb.sqlite{suffix}"
        if file.exists():
            files[FILE + suffix] = file.read_bytes()
    files.update({f"{FILE}-{suffix}": content for suffix, content in more.items()})
    return guest(MemoryTree(files))
