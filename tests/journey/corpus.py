"""Images full of packages with maintainer scripts, and a newer release of every package in them."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.build import KEYRING, read_sources
from demo.disk import make_disk
from demo.recipe import MIB, Recipe
from regild.change.apt import ENVIRONMENT, FOLDERS, compile_plan
from regild.change.script import PLACE, STATE
from regild.feeds.deb import read_control
from regild.model.deb822 import read_paragraphs
from tests.change.guests import Deb, plan_of

LIST = Path(__file__).with_name("corpus.txt")
SUFFIX = "+z1"
"""What is put behind every version, and sorts behind it."""
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config", "triggers")
EPOCH = 1_700_000_000
DISK_BYTES = 6144 * MIB
PER_IMAGE = 20
SECONDS = 3000


def batches() -> dict[str, tuple[str, ...]]:
    """The packages of each image, by its name: of a kind, and few enough to be done in minutes."""
    return {
        f"{kind}-{number}": names[at : at + PER_IMAGE]
        for kind, names in kinds().items()
        for number, at in enumerate(range(0, len(names), PER_IMAGE), 1)
    }


def kinds() -> dict[str, tuple[str, ...]]:
    """The packages of each kind."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in LIST.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name, _, line = line.partition(":")
            rows = found.setdefault(name, [])
        rows += line.split()
    return {name: tuple(row) for name, row in found.items()}


IN_MEMORY = ("unshare", "--mount", "sh", "-c")
IN_MEMORY += ('mount -t tmpfs -o mode=0755 tmpfs "$0" && TMPDIR="$0" exec "$@"',)
"""Has a program keep its temporary files in memory: hundreds of packages keep a disk busy."""


@dataclass(frozen=True)
class Full:
    """An image with a batch in it, and the newer packages."""

    disk: Path
    debs: tuple[Deb, ...]
    scripted: frozenset[str]
    """Names of packages that have maintainer scripts."""


def build_image(names: tuple[str, ...], work: Path) -> None:
    """Install a batch on a disk of its own, and make a newer release of all that came in: what
    `read_image` reads there."""
    tree, debs = work / "tree.tar", work / "debs"
    debs.mkdir()
    source = read_sources()["bookworm"]
    line = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=auto"]
    line += [f"--include={','.join(names)}", "--skip=download/empty", "--skip=essential/unlink"]
    line += ["--dpkgopt=force-unsafe-io"]
    line += [f"--customize-hook=sync-out /var/cache/apt/archives {debs}"]
    line += ["--customize-hook=rm -f $1/etc/ssh/ssh_host_*; : >$1/etc/machine-id"]
    line += ["--customize-hook=rm -f $1/etc/resolv.conf; echo corpus >$1/etc/hostname"]
    line += ["--customize-hook=rm -rf $1/var/cache/apt/archives/*.deb"]
    line += ["--format=tar", "bookworm", str(tree)]
    line += [f"deb [signed-by={KEYRING}] {source} bookworm main"]
    memory = work / "memory"
    memory.mkdir()
    called(
        [*IN_MEMORY, str(memory), *line],
        {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "DEBIAN_FRONTEND": "noninteractive"},
    )
    memory.rmdir()
    recipe = Recipe("corpus", "corpus", "minbase", (), DISK_BYTES)
    make_disk(recipe, tree, work / "disk.raw", EPOCH)
    tree.unlink()
    scripted = renew(sorted(debs.glob("*.deb")))
    (work / "scripted").write_text("\n".join(sorted(scripted)))


def read_image(work: Path) -> Full:
    """A batch's image as it was built."""
    paths = sorted((work / "debs").glob("*.deb"))
    controls = {path: read_control(path) for path in paths}
    debs = tuple(Deb(field_of(text, "Package"), path, text) for path, text in controls.items())
    return Full(work / "disk.raw", debs, frozenset((work / "scripted").read_text().split()))


def renew(paths: list[Path]) -> set[str]:
    """Every package again under the next version, relations to one another moved along; the names
    of those with scripts."""
    controls = {path: read_control(path) for path in paths}
    versions = {field_of(text, "Package"): field_of(text, "Version") for text in controls.values()}
    return {
        field_of(text, "Package")
        for path, text in controls.items()
        if rewrite(path, moved(text, versions))
    }


def field_of(control: str, field: str) -> str:
    ((_, fields),) = read_paragraphs(control.encode(), (field,), "control")
    return fields[field]


def moved(control: str, versions: Mapping[str, str]) -> str:
    """A control file of the next version; exact relations follow where they named this one."""

    def follow(match: re.Match[str]) -> str:
        same = versions.get(match[1]) == match[3]
        return f"{match[1]}{match[2]}{match[3]}{SUFFIX if same else ''})"

    lines = []
    for line in control.splitlines():
        if line.startswith("Version:"):
            line = line.rstrip() + SUFFIX
        elif not line.startswith("Description"):
            line = re.sub(r"([a-z0-9][a-z0-9+.-]+)((?::[a-z]+)? \(= ?)([^)]+)\)", follow, line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def rewrite(path: Path, control: str) -> bool:
    """Put another control file into a package, its content untouched; whether it has scripts."""
    members = list(ar_members(path.read_bytes()))
    out, has_scripts = [b"!<arch>\n"], False
    for name, content in members:
        if name.startswith("control.tar"):
            content, has_scripts = with_control(content, control)
            name = "control.tar.gz"
        out.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        out.append(content + b"\n" * (len(content) % 2))
    path.write_bytes(b"".join(out))
    return has_scripts


def ar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while at + 60 <= len(content):
        name, size = (
            content[at : at + 16].decode().strip().rstrip("/"),
            int(content[at + 48 : at + 58]),
        )
        yield name, content[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def with_control(packed: bytes, control: str) -> tuple[bytes, bool]:
    """The archive of control files with another control file, and whether scripts are in it."""
    out, scripts = io.BytesIO(), False
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in old:
            file = old.extractfile(member) if member.isfile() else None
            content = file.read() if file else b""
            base = member.name.removeprefix("./")
            scripts = scripts or base in SCRIPTS
            if base == "control":
                content = control.encode()
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 1, mtime=0), scripts


PEER = """
set -eu
root=$1; shift
hostname "$(cat $root/etc/hostname)"
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs $root/dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 $root/dev/${node%:*} c 1 ${node#*:}
done
mknod -m 666 $root/dev/tty c 5 0
mkdir $root/dev/shm $root/dev/pts
ln -s /proc/self/fd $root/dev/fd
ln -s /proc/self/fd/0 $root/dev/stdin
ln -s /proc/self/fd/1 $root/dev/stdout
ln -s /proc/self/fd/2 $root/dev/stderr
mount -t proc proc $root/proc
exec chroot $root /usr/bin/env -i "$@"
"""
"""A chroot that is as far apart from the machine as the sandbox, but on the mounted disk itself.

The loopback is up, as it is on a machine and as bubblewrap has it: without one postfix's newaliases
ends at once and leaves its database as it was ("could not find any active network interfaces").
"""


def upgrade_mounted(root: Path, repository: Path, debs: tuple[Deb, ...], log: Path) -> None:
    """The same commands on a mounted disk; what they say goes to a file."""
    with shown(root, repository), log.open("wb") as out:
        for command in compile_plan(plan_of(*debs)):
            line = ["unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork"]
            line += ["sh", "-c", PEER, "peer", str(root)]
            line += [f"{name}={value}" for name, value in ENVIRONMENT.items()]
            done = subprocess.run([*line, *command.argv], stdout=out, stderr=out, timeout=SECONDS)
            assert done.returncode == 0, log.read_text(errors="replace")[-4000:]


@contextmanager
def shown(root: Path, repository: Path) -> Iterator[None]:
    """The package files below a root, and a policy that starts nothing."""
    place, state = root / PLACE.lstrip("/"), root / STATE.lstrip("/")
    policy = root / "usr/sbin/policy-rc.d"
    place.mkdir(parents=True)
    for name in FOLDERS:
        (state / name).mkdir(parents=True)
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    called(["mount", "--bind", str(repository), str(place)])
    try:
        yield
    finally:
        called(["umount", str(place)])
        policy.unlink()
        called(["rm", "-rf", str(state), str(place)])


def called(line: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(line, capture_output=True, env=env, timeout=SECONDS, check=False)
    assert done.returncode == 0, (line[0], (done.stdout + done.stderr)[-3000:])
