"""What a plan compiles to for a guest of rpm, pure but for the index that it writes.

The guest's own dnf does the work, in one transaction, and is shown nothing to choose from: one
repository that holds exactly the package files of the plan. Its own configuration, repositories,
variables and plugins are left out, but for the settings that decided the plan too.
Source: dnf(8), dnf.conf(5), rpm(8), rpmdb(8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from regild.change.archives import archive_name
from regild.change.script import ENVIRONMENT as COMMON
from regild.change.script import PLACE, STATE, GuestCommand
from regild.model.content import Planning
from regild.model.digest import Digest, algorithm_of, hex_of
from regild.model.plan import Archive, Plan, Step

ENVIRONMENT: Final = {
    **COMMON,
    # dnf is written in Python, and what it compiles for itself is no part of the change.
    "PYTHONDONTWRITEBYTECODE": "1",
    "SYSTEMD_OFFLINE": "1",
}
FOLDERS: Final = ("cache",)
EXPLANATIONS: Final = (
    ("rpm state", r"(/usr/lib/sysimage/rpm|/usr/share/rpm|/var/lib/rpm)(/.*)?"),
    ("rpm state", r"/var/lib/rpm-state(/.*)?"),
    ("rpm state", r".*\.rpm(new|save|orig)"),
    ("dnf state", r"/var/lib/(dnf|yum)(/.*)?|/usr/lib/sysimage/libdnf5(/.*)?"),
    ("dnf cache", r"/var/cache/(dnf|yum|libdnf5)(/.*)?"),
    (
        "trigger kernel-install",
        r"/boot/(vmlinuz|initramfs|System\.map|config|symvers|\.vmlinuz)-[^/]+"
        r"|/boot/loader/(entries(/[^/]+\.conf)?|entries\.srel)|/etc/kernel/.+",
    ),
    ("boot menu", r"/boot/grub2/(grubenv|grub\.cfg(\.new)?)"),
    ("trigger authselect", r"/etc/authselect/.*|/var/lib/authselect/.*"),
    ("trigger crypto-policies", r"/etc/crypto-policies/(back-ends|state)/.*"),
    ("trigger ca-trust", r"/etc/pki/ca-trust/extracted/.*"),
    ("trigger selinux", r"/var/lib/selinux/.*|/etc/selinux/[^/]+/(policy|contexts|active)/.*"),
)
"""What rpm, dnf and the helpers of their distributions write for themselves."""

FAULTS: Final = r".*scriptlet failed|Error in \w+ scriptlet|.*: cpio: |Failed:$"
"""rpm goes on where a script fails behind the files of its package, and dnf ends with 0."""

KEPT: Final = (
    "allow_vendor_change",
    "best",
    "exclude_from_weak",
    "exclude_from_weak_autodetect",
    "install_weak_deps",
    "installonly_limit",
    "installonlypkgs",
    "module_platform_id",
    "obsoletes",
    "protect_running_kernel",
    "protected_packages",
)
"""Settings of the guest that decided the plan and hold for its transaction too."""
CONFIGURATIONS: Final = ("/etc/dnf/dnf.conf", "/etc/yum.conf")

SETTINGS: Final = f"""\
[main]
{{kept}}plugins=0
pluginpath={PLACE}/none
reposdir={PLACE}/none
varsdir={PLACE}/none
cachedir={STATE}/cache
assumeyes=1
gpgcheck=0
diskspacecheck=0
metadata_timer_sync=0
[regild]
name=the plan's packages
baseurl=file://{PLACE}
gpgcheck=0
repo_gpgcheck=0
module_hotfixes=1
metadata_expire=never
"""
"""Every package file was checked, by its own signature where the guest asks for that, before it was
put there; whether there is room is judged by the record, as dnf would ask this machine's disk."""

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACES: Final = (
    'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
)


def compile_plan(plan: Plan) -> tuple[GuestCommand, ...]:
    """The commands that turn the plan's base into its expected content.

    What the plan removes and no new package takes the place of is removed by its full name.
    """
    dnf = ("dnf", f"--config={PLACE}/dnf.conf")
    gone = tuple(_full_name(step) for step in plan.package_steps if step.action == "remove")
    erasing = ("--allowerasing",) if gone or plan.mode == "full" else ()
    commands = []
    if any(step.action != "remove" for step in plan.package_steps):
        upgrade = (*dnf, "upgrade", *erasing)
        commands.append(GuestCommand(upgrade, "dnf upgrade", faults=FAULTS))
    if gone:
        remove = (*dnf, "--disablerepo=*", "remove", "--noautoremove", *gone)
        commands.append(GuestCommand(remove, "dnf remove", faults=FAULTS))
    verify = GuestCommand(("rpmdb", "--verifydb"), "rpmdb --verifydb", quiet=True)
    return (*commands, verify)


def write_index(
    folder: Path, plan: Plan, entries: Mapping[Digest, str], planning: Planning
) -> None:
    """The index of a plan's package files, and dnf's settings; `entries` are of primary.xml."""
    packages = [
        _package(step, step.archive, entries[step.archive.digest])
        for step in plan.package_steps
        if step.archive is not None
    ]
    body = "".join(packages)
    primary = f'{_HEAD}<metadata {_SPACES} packages="{len(packages)}">{body}</metadata>\n'.encode()
    (folder / "repodata").mkdir()
    (folder / "repodata/primary.xml").write_bytes(primary)
    (folder / "repodata/repomd.xml").write_text(_repomd(primary))
    (folder / "none").mkdir()
    kept = "".join(f"{name}={value}\n" for name, value in _kept(planning))
    (folder / "dnf.conf").write_text(SETTINGS.format(kept=kept))


def _repomd(primary: bytes) -> str:
    digest = f'"sha256">{hashlib.sha256(primary).hexdigest()}'
    return (
        f'{_HEAD}<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>'
        f'<data type="primary"><checksum type={digest}</checksum>'
        f"<open-checksum type={digest}</open-checksum>"
        f'<location href="repodata/primary.xml"/><timestamp>1</timestamp>'
        f"<size>{len(primary)}</size><open-size>{len(primary)}</open-size></data></repomd>\n"
    )


def _package(step: Step, archive: Archive, entry: str) -> str:
    algorithm, digits = algorithm_of(archive.digest), hex_of(archive.digest)
    return (
        f'<package type="rpm">{entry}'
        f'<checksum type="{algorithm}" pkgid="YES">{digits}</checksum>'
        f'<size package="{archive.bytes}" installed="0" archive="0"/>'
        f'<location href="{archive_name(step)}"/></package>\n'
    )


def _kept(planning: Planning) -> Iterator[tuple[str, str]]:
    for one in planning.settings:
        if one.path not in CONFIGURATIONS:
            continue
        for line in one.text.splitlines():
            name, _, value = line.partition("=")
            if name in KEPT:
                yield name, value


def _full_name(step: Step) -> str:
    return f"{step.name}-{step.was}.{step.arch}" if step.arch else f"{step.name}-{step.was}"
