"""What the guest's dnf, yum or zypper is told about choosing versions (dnf.conf(5), dnf modularity,
dnf-versionlock(8), zypp.conf), and which packages it brought in by itself.

Options that run programs, name proxies or hold secrets are not kept: the lists of names are
literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from regild.describe.apt_parts import TRUE_WORDS
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.ini import read_sections
from regild.describe.rpm_sqlite import open_database
from regild.errors import TooLarge
from regild.model.content import TextFile, Unknown
from regild.model.toml_lines import read_toml

DNF = ("/etc/dnf/dnf.conf", "/etc/yum.conf")
"""The first that is there counts alone; where dnf is, the second one leads to it."""
ZYPP = "/etc/zypp/zypp.conf"
KEPT = {
    DNF[0]: (
        "allow_vendor_change",
        "best",
        "disable_excludes",
        "exclude",
        "exclude_from_weak",
        "exclude_from_weak_autodetect",
        "excludepkgs",
        "gpgcheck",
        "includepkgs",
        "install_weak_deps",
        "installonly_limit",
        "installonlypkgs",
        "module_platform_id",
        "module_stream_switch",
        "obsoletes",
        "pkg_gpgcheck",
        "protect_running_kernel",
        "protected_packages",
        "repo_gpgcheck",
        "strict",
    ),
    ZYPP: (
        "gpgcheck",
        "multiversion",
        "multiversion.kernels",
        "pkg_gpgcheck",
        "repo_gpgcheck",
        "solver.allowvendorchange",
        "solver.onlyrequires",
    ),
}
"""Every option that reaches a plan; all of them are data."""
PROTECTED = ("/etc/dnf/protected.d", "/etc/yum/protected.d")
MODULES = "/etc/dnf/modules.d"
MODULE_NAMES = ("name", "stream", "state", "profiles")
LOCKS = ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list")
ZYPP_LOCKS = "/etc/zypp/locks"
HISTORY = "/var/lib/dnf/history.sqlite"
MARKS = "/usr/lib/sysimage/libdnf5/packages.toml"
ZYPP_AUTO = "/var/lib/zypp/AutoInstalled"

PART_LIMIT = 1 << 20
HISTORY_LIMIT = 256 << 20
PARTS_LIMIT = 500

_WORD = re.compile(r"[^\s,]{1,255}")
_LAST_REASONS = (
    "SELECT i.name, i.arch, ti.action, ti.reason FROM main.trans_item ti"
    " JOIN main.trans t ON t.id = ti.trans_id JOIN main.rpm i ON i.item_id = ti.item_id"
    " WHERE t.state = 1 AND ti.action NOT IN (3, 5, 7, 10) ORDER BY ti.trans_id, ti.id"
)
"""dnf's own way to know why a package is there: the last thing that was done to it, the halves of
replacements aside (libdnf, transaction/)."""
_REMOVED, _DEPENDENCY, _WEAK = 8, 1, 4


def read_rpm_settings(evidence: Evidence, known: Findings) -> Findings:
    """The planning state of a guest of rpm with its settings, locks and marks."""
    planning = known.planning
    if planning is None or planning.type != "rpm":
        return Findings()
    unknowns: list[Unknown] = []
    settings = [*_conf(evidence, unknowns), *_protected(evidence, unknowns)]
    settings += _modules(evidence, unknowns)
    auto = _marks(evidence, unknowns)
    names = {(one.name, one.arch) for one in known.packages if one.type == "rpm"}
    planning = replace(
        planning,
        settings=tuple(settings),
        preferences=tuple(_locks(evidence, unknowns)),
        auto=tuple(sorted(f"{name}:{arch}" for name, arch in auto if (name, arch) in names)),
    )
    return Findings(planning=planning, unknowns=tuple(unknowns))


def _conf(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[TextFile]:
    for paths in (DNF, (ZYPP,)):
        for path in paths:
            content = _find(evidence, path, unknowns)
            if content is None:
                continue
            try:
                main = read_sections(content, path).get("main", {})
                text = "".join(
                    f"{name}={' '.join(main[name].split())}\n"
                    for name in KEPT[paths[0]]
                    if name in main
                )
            except Unreadable as error:
                unknowns.append(unknown(error, path))
                continue
            if text:
                yield TextFile(path=path, text=text)
            break


def _protected(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[TextFile]:
    for path, content in _parts(evidence, PROTECTED, ".conf", unknowns):
        text = "".join(f"{word}\n" for word in _words_of(content))
        if text:
            yield TextFile(path=path, text=text)


def _words_of(content: bytes) -> list[str]:
    lines = content.decode(errors="replace").splitlines()
    stated = " ".join(line.partition("#")[0] for line in lines)
    return [word for word in _WORD.findall(stated) if word.isprintable()]


def _modules(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[TextFile]:
    for path, content in _parts(evidence, (MODULES,), ".module", unknowns):
        try:
            sections = read_sections(content, path)
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        for section, stated in sections.items():
            told = {"name": section, **stated}
            lines = [f"{name}={told[name]}\n" for name in MODULE_NAMES if name in told]
            yield TextFile(path=path, text=" ".join("".join(lines).split(" ")))


def _locks(evidence: Evidence, unknowns: list[Unknown]) -> Iterator[TextFile]:
    for path in LOCKS:
        content = _find(evidence, path, unknowns)
        text = "".join(f"{word}\n" for word in _words_of(content or b""))
        if text:
            yield TextFile(path=path, text=text)
    content = _find(evidence, ZYPP_LOCKS, unknowns) or b""
    names = [
        line.partition(":")[2].strip()
        for line in content.decode(errors="replace").splitlines()
        if line.startswith("solvable_name:")
    ]
    if text := "".join(f"{name}\n" for name in names if _WORD.fullmatch(name)):
        yield TextFile(path=ZYPP_LOCKS, text=text)


def _marks(evidence: Evidence, unknowns: list[Unknown]) -> set[tuple[str, str]]:
    """Name and architecture of packages that are there only for another's sake."""
    found: set[tuple[str, str]] = set()
    for path, read in ((HISTORY, _read_history), (MARKS, _read_marks), (ZYPP_AUTO, _read_names)):
        try:
            found |= set(read(evidence, path))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    return found


def _read_history(evidence: Evidence, path: str) -> Iterator[tuple[str, str]]:
    content = evidence.find_bytes(path, HISTORY_LIMIT)
    if not content:
        return
    log = evidence.find_bytes(f"{path}-wal", HISTORY_LIMIT) or b""
    reasons: dict[tuple[str, str], tuple[int, int]] = {}
    with open_database(content, log, path, ("trans", "trans_item", "rpm")) as connection:
        for name, arch, action, reason in connection.execute(_LAST_REASONS):
            reasons[str(name), str(arch)] = (action, reason)
    for key, (action, reason) in reasons.items():
        if action != _REMOVED and reason in (_DEPENDENCY, _WEAK):
            yield key


def _read_marks(evidence: Evidence, path: str) -> Iterator[tuple[str, str]]:
    content = evidence.find_bytes(path, PART_LIMIT << 4)
    if not content:
        return
    told: Mapping[str, Any] = read_toml(content, path)
    packages = told.get("packages", {})
    for key, stated in packages.items() if isinstance(packages, dict) else ():
        name, _, arch = key.rpartition(".")
        if isinstance(stated, dict) and stated.get("reason") in ("Dependency", "Weak Dependency"):
            yield name, arch


def _read_names(evidence: Evidence, path: str) -> Iterator[tuple[str, str]]:
    """zypp keeps names alone; each stands for all its architectures."""
    content = evidence.find_bytes(path, PART_LIMIT) or b""
    for word in _words_of(content):
        for arch in ("noarch", "x86_64", "aarch64", "i586", "i686", "ppc64le", "s390x"):
            yield word, arch


def _parts(
    evidence: Evidence, folders: tuple[str, ...], suffix: str, unknowns: list[Unknown]
) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        try:
            names = [name for name in evidence.names(folder) if name.endswith(suffix)]
            if len(names) > PARTS_LIMIT:
                raise TooLarge(where=folder, why=f"it holds more than {PARTS_LIMIT} files")
        except Unreadable as error:
            unknowns.append(unknown(error, folder))
            continue
        for name in names:
            content = _find(evidence, f"{folder}/{name}", unknowns)
            if content:
                yield f"{folder}/{name}", content


def _find(evidence: Evidence, path: str, unknowns: list[Unknown]) -> bytes | None:
    try:
        return evidence.find_bytes(path, PART_LIMIT)
    except Unreadable as error:
        unknowns.append(unknown(error, path))
        return None


def is_true(value: str) -> bool:
    """What dnf and zypper take for yes."""
    return value.strip().lower() in TRUE_WORDS
