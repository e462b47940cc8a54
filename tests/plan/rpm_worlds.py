"""Guests of rpm in a folder, made by real rpm, and the same question put to dnf and to us."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from regild.agent.planning.lists import following_paths
from regild.describe.reader import describe_guest
from regild.errors import Unsolvable
from regild.feeds.policy import SitePolicy, with_options
from regild.feeds.rpm import refresh, with_filelists
from regild.model.content import Content
from regild.model.plan import Mode
from regild.model.progress import Silent
from regild.plan.rpm.answer import answer, open_shelf
from regild.plan.solver import Request, Transaction
from tests.describe.guests import FolderTree, guest
from tests.feeds.repositories import NOW
from tests.feeds.rpm_repositories import Rpm, build, publish

ASKED = Path(__file__).with_name("dnf_asked.py")
OS_RELEASE = 'ID=fedora\nVERSION_ID="39"\nPRETTY_NAME="Fedora 39"\n'


def _has_dnf() -> bool:
    argv = ["/usr/bin/python3", "-c", "import dnf"]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_dnf = pytest.mark.skipif(not _has_dnf(), reason="dnf's library is not installed here")


@dataclass(frozen=True)
class Repo:
    """A repository of a world."""

    rpms: Sequence[Rpm]
    updateinfo: str = ""
    modules: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """A guest, its settings, and what its repositories offer."""

    installed: Sequence[Rpm]
    repos: Mapping[str, Repo]
    conf: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    mode: Mode = "upgrade"


ARCH = Rpm("anchor", arch="x86_64")
"""So that a guest's architecture can be seen in it."""


def make(folder: Path, world: World) -> Path:
    """The guest's root folder."""
    root = folder / "root"
    database = root / "var/lib/rpm"
    database.mkdir(parents=True)
    _rpm(database, "--initdb")
    paths = map(str, build([*world.installed, ARCH]))
    _rpm(database, "-i", "--justdb", "--nodeps", "--nosignature", "--ignorearch", "--noscripts",
         "--force", *paths)  # fmt: skip
    files = {
        "etc/os-release": OS_RELEASE,
        "etc/dnf/dnf.conf": f"[main]\ngpgcheck=0\n{world.conf}",
        **world.files,
    }
    for name, repo in world.repos.items():
        place = publish(
            folder / "repos" / name, repo.rpms, updateinfo=repo.updateinfo, modules=repo.modules
        )
        more = "".join(f"{key}={value}\n" for key, value in repo.options.items())
        files[f"etc/yum.repos.d/{name}.repo"] = f"[{name}]\nname=x\nbaseurl=file://{place}\n{more}"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def _rpm(database: Path, *words: str) -> None:
    argv = ["rpm", "--dbpath", str(database), *words]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


Outcome = tuple[list[str], list[str]] | str
"""What comes in and what goes, or `error`."""


def of_dnf(root: Path, mode: Mode) -> Outcome:
    """What dnf would do."""
    argv = ["/usr/bin/python3", str(ASKED), str(root), mode]
    # Debian's own place for the database is a folder of the user's.
    (root.parent / ".rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    home = {**os.environ, "HOME": str(root.parent)}
    done = subprocess.run(argv, capture_output=True, check=False, env=home)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    return "error" if "error" in told else (told["in"], told["out"])


def described(root: Path) -> Content:
    """The guest, described as any other."""
    return describe_guest(guest(FolderTree(root)))


def solved(root: Path, mode: Mode) -> Transaction:
    """What our solver answers with what describing and the feeds say.

    Raises: Unsolvable.
    """
    content = described(root)
    assert content.unknowns == ()
    policy = with_options(SitePolicy(), allow=(str(root.parent),))
    available = refresh(content, policy, root.parent / "cache", NOW, Silent())
    request = Request(content.planning, available.indexes, mode)
    where = policy, root.parent / "cache", Silent()
    solve = following_paths(
        lambda asked: answer(open_shelf(asked), asked),
        lambda: with_filelists(available, *where).indexes,
    )
    return solve(request)


def of_ours(root: Path, mode: Mode) -> Outcome:
    """What our solver would do."""
    try:
        transaction = solved(root, mode)
    except Unsolvable:
        return "error"
    content = described(root)
    come = [f"{one.name}-{one.becomes}.{one.arch}" for one in transaction.moves if one.becomes]
    gone = [
        f"{one.name}-{one.was}.{_arch_before(one.name, one.was, one.arch, content)}"
        for one in transaction.moves
        if one.was
    ]
    return sorted(come), sorted(gone)


def _arch_before(name: str, version: str, arch: str, content: Content) -> str:
    """The architecture that went, where a package changes it."""
    row = [one.arch for one in content.packages if (one.name, one.version) == (name, version)]
    return arch if arch in row else row[0]
