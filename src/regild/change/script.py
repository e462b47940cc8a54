"""The guest commands that a plan compiles to: the same for every carrier, pure.

The guest's own apt does the work in its own order, but it is shown nothing to choose from: one
small repository that holds exactly the package files of the plan. Its own configuration, sources
and hooks are left out; dpkg's own settings in the guest (path excludes) stay in force.
Source: apt.conf(5), apt-get(8), dpkg(1); options measured in the write path's reports.
"""

from __future__ import annotations

from regild.model.content import Value
from regild.model.plan import Plan

PLACE = "/run/regild"
"""Where the guest sees the plan's package files and settings, read only."""

STATE = "/run/apt"
"""Where the guest's apt keeps lists and downloads while it works; never in the image."""

APT_SETTINGS = f"""\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{PLACE}/none";
Dir::Etc::sourcelist "{PLACE}/sources.list";
Dir::Etc::sourceparts "{PLACE}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{PLACE}/none";
Dir::State::lists "{STATE}/lists";
Dir::Cache "{STATE}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::Get::Assume-Yes "true";
APT::Get::AutomaticRemove "false";
APT::Get::Show-Versions "false";
APT::Install-Recommends "true";
APT::Sandbox::User "root";
DPkg::Use-Pty "false";
DPkg::Options {{ "--force-confdef"; "--force-confold"; "--force-unsafe-io"; }};
"""

SOURCES = f"deb [trusted=yes] file:{PLACE} ./\n"
"""Trusted, because every file was checked against a signed index before it was put there."""

ENVIRONMENT = {
    "APT_CONFIG": f"{PLACE}/apt.conf",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "NEEDRESTART_SUSPEND": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
    "UCF_FORCE_CONFFOLD": "1",
}


class GuestCommand(Value, frozen=True):
    """A command line to run in the guest, and what it does in a few words."""

    argv: tuple[str, ...]
    what: str
    quiet: bool = False
    """Whatever it prints is a fault: dpkg --audit."""
    stand_ins: bool = False
    """It asks about devices: those that answer for the guest's volumes are shown to it."""


def compile_plan(plan: Plan) -> tuple[GuestCommand, ...]:
    """The commands that turn the plan's base into its expected content.

    A full upgrade may remove packages; every other mode never does (apt-get(8)).
    """
    removing = any(step.action == "remove" for step in plan.steps)
    upgrade = (
        ("dist-upgrade",) if removing or plan.mode == "full" else ("upgrade", "--with-new-pkgs")
    )
    return (
        GuestCommand(("apt-get", "-qq", "update"), "reading the plan's packages"),
        GuestCommand(("apt-get", "-q", *upgrade), "apt-get " + upgrade[0]),
        GuestCommand(("dpkg", "--audit"), "dpkg --audit", quiet=True),
    )
