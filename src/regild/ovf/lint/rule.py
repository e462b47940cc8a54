"""What a rule is, and the consumers that rules speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from regild.ovf.lint.archive import Spot
from regild.ovf.lint.survey import Survey

TARGETS: Final = (
    "vsphere",
    "virtualbox",
    "virt-v2v",
    "proxmox",
    "xenserver",
    "xen-orchestra",
    "ovirt",
    "glance",
    "forklift",
    "harvester",
)

EVERY: Final = TARGETS
V2V: Final = ("virt-v2v", "ovirt", "forklift")
"""virt-v2v, and those that hand foreign packages to it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that consumers trip over."""

    id: str
    targets: tuple[str, ...]
    what: str
    why: str
    fix: str
    check: Callable[[Survey], Iterator[Spot]]
    safe: bool = False
    """`--fix` puts it right by writing the package anew; no decision is needed."""
