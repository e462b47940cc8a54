"""SEAL: what a golden image keeps for itself, whatever the package scripts did in between.

Clones of an image share what is in it, so an identity that a script makes up while it runs apart
would be shared by all of them (measured with a peer: an empty machine-id came back filled).
"""

from __future__ import annotations

import re

KEPT_FILES = frozenset(
    {
        "/etc/adjtime",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/machine-id",
        "/etc/mtab",
        "/etc/resolv.conf",
        "/usr/sbin/policy-rc.d",
        "/var/lib/dbus/machine-id",
        "/var/lib/systemd/random-seed",
        "/var/lib/urandom/random-seed",
    }
)
"""Files that stay exactly as they were, present or absent."""

KEPT_PREFIXES = ("/etc/ssh/ssh_host_",)

DROPPED_FOLDERS = (
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/cache/apt",
    "/var/lib/apt/lists",
    "/var/tmp",
)
"""Folders whose content belongs to a running machine, not to its image."""


def is_own(path: str) -> bool:
    """Whether a path belongs to the image's identity."""
    return path in KEPT_FILES or path.startswith(KEPT_PREFIXES)


def is_kept(path: str) -> bool:
    """Whether a change of this path is left out of the record."""
    if is_own(path):
        return True
    return any(path == folder or path.startswith(folder + "/") for folder in DROPPED_FOLDERS)


BOOT_TRACES = re.compile(
    r"/(etc|var)/\.updated|/var/log/(journal/.+|wtmp|btmp|lastlog|faillog|dmesg.*|boot\.log.*)"
    r"|/var/log/(syslog|messages|debug|kern|auth|daemon|user|cron)(\.log)?|/var/log/cloud-init.*"
    r"|/var/lib/systemd/(timers|rfkill|backlight|timesync|coredump|pstore|linger)/.*"
    r"|/var/lib/(dhcp|dhcpcd|NetworkManager|cloud|private)/.+|/var/lib/logrotate/status"
    r"|/var/spool/.+|/root/\..*|/etc/network/.*|/lost\+found"
)
"""What a machine writes because it runs, and not because a package was changed."""


def is_trace(path: str) -> bool:
    """Whether a change of this path by a booted guest is left out of the record."""
    return is_kept(path) or BOOT_TRACES.fullmatch(path) is not None
