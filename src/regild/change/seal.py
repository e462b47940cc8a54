"""SEAL: what a golden image keeps for itself, whatever the package scripts did in between.

Clones of an image share what is in it, so an identity that a script makes up while it runs apart
would be shared by all of them (measured with a peer: an empty machine-id came back filled).
"""

from __future__ import annotations

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


def is_kept(path: str) -> bool:
    """Whether a change of this path is left out of the record."""
    if path in KEPT_FILES or path.startswith(KEPT_PREFIXES):
        return True
    return any(path == folder or path.startswith(folder + "/") for folder in DROPPED_FOLDERS)
