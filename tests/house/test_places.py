"""The tree belongs to nobody's machine: no registry's host, no local path stands in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED_PARENTS = {"/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"}
"""Folders that exist everywhere, so their names in the tree say nothing of this machine."""


def said_by(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    return subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout


def hosts() -> set[str]:
    """Hosts that this machine's apt, pip and npm are configured with; known only when asked."""
    told = said_by("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)")
    told += said_by(sys.executable, "-m", "pip", "config", "list")
    told += said_by("npm", "config", "get", "registry")
    found = re.findall(r"\bhttps?://(?:[^@/\s']+@)?([\w.-]+)", told)
    return {host for host in found if "." in host}


def forbidden(root: Path) -> re.Pattern[str]:
    parts = [rf"(?<![\w.-]){re.escape(host)}(?![\w-])" for host in sorted(hosts())]
    if str(root.parent) not in SHARED_PARENTS:
        parts.append(re.escape(f"{root.parent}/"))
    parts.append(re.escape(str(root)) + r"\b")
    return re.compile("|".join(parts))


def files_of(root: Path) -> list[Path]:
    """What belongs to the project: all that git does not ignore."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        return [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in root.rglob("*") if not {".venv", ".cache"} & set(path.parts)]


def places(root: Path, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(root)}: {found[0]}"
        for path in files_of(root)
        if path.is_file() and (found := pattern.search(path.read_text(errors="replace")))
    ]


def test_no_registry_and_no_path_of_this_machine_stands_in_the_tree() -> None:
    assert places(ROOT, forbidden(ROOT)) == []


def test_a_planted_address_or_path_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("see https://registry.example/simple\n")
    (tmp_path / "note.md").write_text(f"look at {ROOT}/src\n")
    pattern = re.compile(r"registry\.example|" + forbidden(ROOT).pattern)
    assert len(places(tmp_path, pattern)) == 2


def test_this_machines_own_archive_is_among_the_forbidden_hosts() -> None:
    archive = said_by("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)")
    for uri in archive.split():
        if uri.startswith("http"):
            assert forbidden(ROOT).search(uri)
