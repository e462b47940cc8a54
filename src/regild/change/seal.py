"""SEAL: what a golden image keeps for itself, whatever the package scripts did in between.

Clones of an image share what is in it, so an identity that a script makes up while it runs apart
would be shared by all of them (measured with a peer: an empty machine-id came back filled).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from regild.model.plan import Seal
from regild.model.record import Inode

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


CLEARED: Final[Mapping[Seal, re.Pattern[str]]] = MappingProxyType(
    {
        "machine-id": re.compile(r"/etc/machine-id|/var/lib/dbus/machine-id"),
        "host-keys": re.compile(r"/etc/ssh/ssh_host_[^/]+_key(\.pub)?"),
        "random-seed": re.compile(r"/var/lib/(systemd|urandom)/random-seed"),
        "caches": re.compile(
            r"/var/lib/apt/lists/.+|/var/cache/(apt|dnf|yum|libdnf5|apk|man|ldconfig|debconf/.*-old)/.+"
        ),
        "logs": re.compile(r"/var/log/.+"),
        "temporary": re.compile(r"/(var/)?tmp/.+"),
    }
)
"""The files that go where a site wants a part of an image cleared; folders stay."""
PLACES: Final[Mapping[Seal, tuple[str, ...]]] = MappingProxyType(
    {
        "machine-id": ("etc", "var/lib/dbus"),
        "host-keys": ("etc/ssh",),
        "random-seed": ("var/lib/systemd", "var/lib/urandom"),
        "caches": ("var/lib/apt/lists", "var/cache"),
        "logs": ("var/log",),
        "temporary": ("tmp", "var/tmp"),
    }
)
"""The folders in which those are looked for."""
EMPTIED: Final = "/etc/machine-id"
"""systemd makes one at the first start where it finds an empty file (machine-id(5))."""


def cleared_by(path: str, seal: Collection[Seal]) -> str:
    """The part of an image that a path belongs to, of those that are to be cleared; or empty."""
    return next((one for one in seal if CLEARED[one].fullmatch(path)), "")


def is_cleared(path: str, becomes: Inode) -> bool:
    """Whether what a path becomes is what clearing leaves of it."""
    return becomes.kind == "absent" or (path == EMPTIED and becomes.bytes == 0)


def is_own(path: str) -> bool:
    """Whether a path belongs to the image's identity."""
    return path in KEPT_FILES or path.startswith(KEPT_PREFIXES)


def is_kept(path: str) -> bool:
    """Whether a change of this path is left out of the record."""
    if is_own(path):
        return True
    return any(path == folder or path.startswith(folder + "/") for folder in DROPPED_FOLDERS)


def is_looked_into(path: str, seal: Collection[Seal]) -> bool:
    """Whether a path may be cleared, or something in it."""
    return bool(cleared_by(path, seal) or cleared_by(f"{path}/x", seal))


BOOT_TRACES = re.compile(
    r"/(etc|var)/\.updated|/var/log/(journal/.+|wtmp|btmp|lastlog|faillog|dmesg.*|boot\.log.*)"
    r"|/var/log/(syslog|messages|debug|kern|auth|daemon|user|cron)(\.log)?|/var/log/cloud-init.*"
    r"|/var/lib/systemd(/(timers|rfkill|backlight|timesync|coredump|pstore|linger)(/.*)?)?"
    r"|/var/lib/private(/.*)?|/var/(lock|run)"
    r"|/var/lib/(dhcp|dhcpcd|NetworkManager|cloud)/.+|/var/lib/logrotate/status"
    r"|/var/spool/.+|/root/\..*|/etc/network/.*|/lost\+found"
)
"""What a machine writes because it runs, and not because a package was changed; some folders are
made at the first start alone (tmpfiles.d/systemd.conf, legacy.conf)."""


def is_trace(path: str) -> bool:
    """Whether a change of this path by a booted guest is left out of the record."""
    return is_kept(path) or BOOT_TRACES.fullmatch(path) is not None
