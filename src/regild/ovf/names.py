"""The names of OVF in its three generations, and of the content descriptor.

DSP0243 1.x and 2.x and VMware's draft 0.9 use the same words in different namespaces; regild
compares by namespace and local name, never by prefix.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from regild.errors import ExternalFile, Malformed, UnsafeName, UnsupportedFormat
from regild.model.uri import without_credentials

OVF_1: Final = "http://schemas.dmtf.org/ovf/envelope/1"
OVF_2: Final = "http://schemas.dmtf.org/ovf/envelope/2"
OVF_09: Final = "http://www.vmware.com/schema/ovf/1/envelope"

OVF_DRAFT: Final = "http://schemas.dmtf.org/ovf/envelope"

GENERATIONS: Final = {OVF_09: "0.9", OVF_DRAFT: "0.9", OVF_1: "1", OVF_2: "2"}
"""The generation that each envelope namespace stands for; the drafts are written alike."""

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
XS: Final = "http://www.w3.org/2001/XMLSchema"
XML: Final = "http://www.w3.org/XML/1998/namespace"
XMLNS: Final = "http://www.w3.org/2000/xmlns/"

CONTENT: Final = "urn:regild:ovf:content:1"
"""The namespace of the content descriptor, first generation (docs/spec/content-descriptor.md)."""
SECTION: Final = "ContentDescriptorSection"

BOM_FILE_ID: Final = "regild-inventory-1"
"""The `File` of an embedded bill of materials (rule W3)."""

PLACEMENT: Final = (
    "http://www.vmware.com/schema/ovf",
    "http://www.vmware.com/vcloud/v1",
    "http://www.vmware.com/vcloud/v1.5",
    "http://www.virtualbox.org/ovf/machine",
    "http://schemas.dmtf.org/ovf/strings/1",
)
"""Namespaces whose required sections speak of where a machine runs, not of what its disks hold."""

SECTIONS: Final = frozenset(
    (
        "AnnotationSection",
        "BootDeviceSection",
        "DeploymentOptionSection",
        "DiskSection",
        "EnvironmentFilesSection",
        "EulaSection",
        "InstallSection",
        "NetworkPortProfileSection",
        "NetworkSection",
        "OperatingSystemSection",
        "PlacementGroupSection",
        "PlacementSection",
        "ProductSection",
        "ResourceAllocationSection",
        "ScaleOutSection",
        "SharedDiskSection",
        "StartupSection",
        "VirtualHardwareSection",
    )
)
"""Sections of DSP0243 that change nothing in how a disk is read; EncryptionSection does."""

MAX_NAME: Final = 1024
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_WRITTEN_NAME = re.compile(r"[A-Za-z0-9._~+=-]+\Z")


def generation_of(namespace: str, where: str) -> str:
    """The generation of OVF that a root element's namespace stands for: `0.9`, `1` or `2`.

    Raises: UnsupportedFormat for a later or unknown one (rule R1).
    """
    found = GENERATIONS.get(namespace)
    if found is None:
        raise UnsupportedFormat(
            where=where, why=f"its OVF namespace is {namespace or 'missing'!r}, not 0.9, 1.x or 2.x"
        )
    return found


def is_address(href: str) -> bool:
    """Whether an href leads to a server."""
    return href.lower().startswith(("http://", "https://"))


def check_href(href: str, where: str) -> tuple[str, ...]:
    """The names inside the package that an href can mean: as it stands, then percent-decoded.

    Raises: UnsafeName when it leads out of the package, ExternalFile for another scheme, Malformed
    when it is empty or too long (rule R4).
    """
    if not href or len(href) > MAX_NAME:
        raise Malformed(where=where, why="a File has no href or a longer one than 1024 characters")
    try:
        scheme, netloc = urlsplit(href)[:2]
    except ValueError as error:
        raise Malformed(where=where, why=f"the href {href[:80]!r} is not a URI") from error
    shown = without_credentials(href)[:80]
    if is_address(href):
        _, login, host = netloc.rpartition("@")
        follow = "its address holds a login" if login else "which --follow HOST would allow"
        raise ExternalFile(where=shown, why=f"it lies at {host[:80] or 'a server'}, {follow}")
    if netloc or (scheme and "/" in href):
        raise ExternalFile(where=where, why=f"the href {shown!r} lies outside the package")
    found = tuple(dict.fromkeys((href, unquote(href))))
    for name in found:
        check_name(name, where)
    return found


def check_name(name: str, where: str) -> str:
    """A relative file name that stays inside its folder.

    Raises: UnsafeName (rules R4, R6).
    """
    parts = name.split("/")
    if (
        not name
        or len(name) > MAX_NAME
        or name.startswith("/")
        or "\\" in name
        or any(part in ("", "..", ".") for part in parts)
        or _UNWRITABLE.search(name)
    ):
        raise UnsafeName(where=where, why=f"{name[:80]!r}")
    return name


def check_written_name(name: str, where: str) -> str:
    """A flat file name that every consumer takes (rule W3), for files that regild itself names.

    Raises: UnsafeName.
    """
    if not _WRITTEN_NAME.match(name) or name.startswith((".", "-")):
        raise UnsafeName(where=where, why=f"{name[:80]!r} is not a plain flat name")
    return name
