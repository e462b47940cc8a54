"""What a plan compiles to for a guest of dpkg, pure but for the index that it writes.

The guest's own apt does the work in its own order, but it is shown nothing to choose from: one
small repository that holds exactly the package files of the plan. Its own configuration, sources
and hooks are left out; dpkg's own settings in the guest (path excludes) stay in force.
Source: apt.conf(5), apt-get(8), dpkg(1); options measured in the write path's reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from regild.change.archives import archive_name
from regild.change.boot_chain import FIRST
from regild.change.script import ENVIRONMENT as COMMON
from regild.change.script import PLACE, STATE, GuestCommand
from regild.model.content import Planning
from regild.model.digest import Digest, hex_of
from regild.model.plan import Archive, Plan, Step
from regild.model.versions import is_newer

DPKG_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""What apt gives to dpkg (apt.conf(5), DPkg::Path)."""

SETTINGS: Final = f"""\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{STATE}/parts";
Dir::Etc::sourcelist "{PLACE}/sources.list";
Dir::Etc::sourceparts "{PLACE}/none";
Dir::Etc::preferences "{PLACE}/preferences";
Dir::Etc::preferencesparts "{PLACE}/none";
Dir::State::lists "{STATE}/lists";
Dir::Cache "{STATE}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::Get::Assume-Yes "true";
APT::Get::allow-downgrades "true";
APT::Get::AutomaticRemove "false";
APT::Get::Show-Versions "false";
APT::Install-Recommends "true";
APT::Sandbox::User "root";
DPkg::Use-Pty "false";
DPkg::Path "{FIRST}:{DPKG_PATH}";
DPkg::Options {{ "--force-confdef"; "--force-confold"; "--force-unsafe-io"; }};
"""

OLDER: Final = """\
Package: *
Pin: origin ""
Pin-Priority: 1001
"""
"""Prefers the plan's packages, which lie in a folder, to newer ones that are installed
(apt_preferences(5)). The image's own pins may ask for what is older; without this apt would leave
that as it is."""

SOURCES: Final = f"deb [trusted=yes] file:{PLACE} ./\n"
"""Trusted, because every file was checked against a signed index before it was put there."""

ENVIRONMENT: Final = {
    **COMMON,
    "APT_CONFIG": f"{PLACE}/apt.conf",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "NEEDRESTART_SUSPEND": "1",
    "UCF_FORCE_CONFFOLD": "1",
}

FOLDERS: Final = ("lists/partial", "cache/archives/partial", "parts")
"""The folders that apt expects below `STATE`."""

KEEP: Final = f"""\
for made in {STATE}/parts/*; do
    [ ! -f "$made" ] || mv -f "$made" /etc/apt/apt.conf.d/
done
"""
"""Kernel hooks of Debian 11 and before write which kernels stay into the folder of apt's settings,
which they ask apt for: to where the guest's own lie."""

POLICY: Final = "#!/bin/sh\n# Nothing is started while an image is changed.\nexit 101\n"
"""invoke-rc.d(8): a policy-rc.d that ends with 101 forbids every action."""
INJECTED: Final = {"/usr/sbin/policy-rc.d": POLICY}
"""Seen by the scripts, never part of the record."""

EXPLANATIONS: Final = (
    ("dpkg state", r"/var/lib/dpkg/.*"),
    ("dpkg state", r".*\.dpkg-(old|dist|new|bak|tmp)"),
    ("ucf", r"/var/lib/ucf/.*|.*\.ucf-(old|dist|new)"),
    ("apt state", r"/etc/apt/apt\.conf\.d/01autoremove-kernels"),
    ("apt state", r"/var/lib/apt/(extended_states|periodic/.*|daily_lock|mirrors/.*)"),
    ("debconf", r"/var/cache/debconf/.*"),
)
"""What dpkg, apt and their helpers write for themselves."""

FAULTS: Final = r"dpkg: error processing .*"
UNWANTED: Final = ("filename", "size", "sha256", "sha1", "md5sum", "phased-update-percentage")


def compile_plan(plan: Plan) -> tuple[GuestCommand, ...]:
    """The commands that turn the plan's base into its expected content.

    A full upgrade may remove packages; every other mode never does (apt-get(8)). What is new and
    what goes is named: with the plan's packages alone in sight, apt may not see what for.
    """
    named = [_named(one) for one in plan.package_steps if one.action != "upgrade"]
    removing = any(step.action == "remove" for step in plan.package_steps)
    upgrade = (
        ("dist-upgrade",) if removing or plan.mode == "full" else ("upgrade", "--with-new-pkgs")
    )
    return (
        GuestCommand(("apt-get", "-qq", "update"), "reading the plan's packages"),
        GuestCommand(("apt-get", "-q", *upgrade, *named), "apt-get " + upgrade[0], faults=FAULTS),
        *_marking(plan),
        GuestCommand(("sh", "-c", KEEP), "keeping the list of kernels that stay"),
        GuestCommand(("dpkg", "--audit"), "dpkg --audit", quiet=True),
    )


def _named(step: Step) -> str:
    """A package for apt's command line, which knows what is for all architectures by its name
    alone."""
    name = step.name if step.arch in ("", "all") else f"{step.name}:{step.arch}"
    return f"{name}-" if step.action == "remove" else name


def _marking(plan: Plan) -> Iterator[GuestCommand]:
    """The commands that say of each package whether it is there for others only (apt-mark(8)), as
    apt itself would have done: what is named counts as wished for."""
    marks = {f"{one.name}:{one.arch}": one.auto for one in plan.marks}
    names = {one.name for one in plan.marks}
    for step in plan.package_steps:
        if step.action == "install":
            is_known = step.name in names if step.arch == "all" else _named(step) in marks
            if not is_known:
                marks[_named(step)] = True
    for auto, verb in ((True, "auto"), (False, "manual")):
        if found := tuple(name for name, is_auto in marks.items() if is_auto == auto):
            yield GuestCommand(("apt-mark", "-qq", verb, *found), f"apt-mark {verb}")


def write_index(
    folder: Path, plan: Plan, entries: Mapping[Digest, str], planning: Planning
) -> None:
    """The index of a plan's package files, and apt's settings; `entries` are control files."""
    index = [
        _index_entry(step, step.archive, entries[step.archive.digest])
        for step in plan.package_steps
        if step.archive is not None
    ]
    (folder / "Packages").write_text("\n".join(index))
    (folder / "apt.conf").write_text(SETTINGS)
    older = any(
        is_newer("deb", step.was, step.becomes)
        for step in plan.package_steps
        if step.was and step.becomes
    )
    (folder / "preferences").write_text(OLDER if older else "")
    (folder / "sources.list").write_text(SOURCES)
    (folder / "none").mkdir()


def _index_entry(step: Step, archive: Archive, stanza: str) -> str:
    """A package's entry for apt: its control fields, and where the file is."""
    lines, skipping = [], False
    for line in stanza.strip().splitlines():
        if not line.startswith((" ", "\t")):
            skipping = line.partition(":")[0].lower() in UNWANTED
        if not skipping:
            lines.append(line)
    lines += [
        f"Filename: ./{archive_name(step)}",
        f"Size: {archive.bytes}",
        f"SHA256: {hex_of(archive.digest)}",
    ]
    return "\n".join(lines) + "\n"
