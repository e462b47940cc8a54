"""A virtual appliance as values: the envelope's files, disks and systems, and what its descriptor
says of itself."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Content, Value
from regild.model.digest import Digest

DescriptorStatus = Literal[
    "claimed", "equivalent", "verified", "stale", "detached", "tampered", "absent"
]

SignatureStatus = Literal[
    "valid",
    "unchecked",
    "untrusted",
    "self-signed",
    "expired",
    "weak",
    "wrong-key",
    "corrupted",
    "absent",
]
"""`unchecked`: the signature fits its certificate, and nobody said whose to trust."""


class FileReference(Value, frozen=True):
    """A `File` of the envelope's `References` (DSP0243, 7.1)."""

    id: str
    href: str
    bytes: int | None = None
    compression: str = ""
    chunk_bytes: int | None = None


class DiskReference(Value, frozen=True):
    """A `Disk` of the `DiskSection` (DSP0243, 9.1)."""

    id: str
    file: str = ""
    """The `File` it is stored in; empty for a blank disk."""
    capacity_bytes: int | None = None
    """Virtual size; None where it is a property that only deployment settles. Where it is a
    property with a value in the package, that one."""
    format: str = ""
    parent: str = ""


class SystemReference(Value, frozen=True):
    """A `VirtualSystem` of the envelope and the disks that its hardware names."""

    id: str
    name: str = ""
    message: str = ""
    """The id of its name in a message bundle that is a file of its own."""
    disks: tuple[str, ...] = ()
    described: bool = False
    """A content descriptor section stands in it."""
    installs: bool = False
    """It installs itself when it is first switched on, and powers off (InstallSection)."""


class Envelope(Value, frozen=True):
    """What regild reads of an .ovf file."""

    version: str
    """`0.9`, `1` or `2`: the generation of the namespace."""
    files: tuple[FileReference, ...] = ()
    disks: tuple[DiskReference, ...] = ()
    systems: tuple[SystemReference, ...] = ()
    requires: tuple[str, ...] = ()
    """Sections that the package says must be understood and that regild does not know."""
    bundles: tuple[str, ...] = ()
    """The ids of Files that hold texts in the envelope's own language."""


class ManifestEntry(Value, frozen=True):
    """One line of a .mf file."""

    name: str
    digest: Digest


class Binding(Value, frozen=True):
    """Which disk a descriptor speaks of."""

    disk: str
    stored: Digest | None = None
    """Digest of the disk's file, as in the manifest."""
    virtual: Digest | None = None
    """`mt1-sha256-1MiB:` digest of the virtual disk's bytes, the same in every format."""
    virtual_bytes: int = 0


class BomReference(Value, frozen=True):
    """Where the software bill of materials stands."""

    location: Literal["sidecar", "package", "none"]
    name: str = ""
    media_type: str = ""
    digest: Digest | None = None


class ReceiptReference(Value, frozen=True):
    """Where the receipt of the change that made an image stands: a file beside the package."""

    name: str = ""
    """Empty where there is none."""
    digest: Digest | None = None
    """Of the statement in it, which may be signed later."""


class Maintenance(Value, frozen=True):
    """What the image's maker says about keeping it up to date."""

    methods: tuple[str, ...] = ()
    """`offline`, `boot`: how it may be changed; empty: not said."""
    holds: tuple[str, ...] = ()
    """Names of packages that must stay as they are."""
    tests: tuple[str, ...] = ()
    """Commands that end with 0 in a guest that works."""
    reboot: str = ""
    """When a running instance must start again after an update: `always`, `kernel`, `never`; empty:
    not said."""


class Descriptor(Value, frozen=True):
    """A content descriptor section, read."""

    content: Content
    bindings: tuple[Binding, ...] = ()
    bom: BomReference = BomReference(location="none")
    receipt: ReceiptReference = ReceiptReference()
    line: str = ""
    generation: int = 0
    parent: str = ""
    created: str = ""
    """RFC 3339, UTC; taken from SOURCE_DATE_EPOCH or the newest input, so that equal inputs give
    equal bytes."""
    tool: str = ""
    maintenance: Maintenance = Maintenance()


class DescriptorState(Value, frozen=True):
    """How far a descriptor can be believed, and why."""

    state: DescriptorStatus
    why: str


class SignatureState(Value, frozen=True):
    """What a package's signature is worth, and who made it."""

    state: SignatureStatus
    why: str
    subject: str = ""
    issuer: str = ""
    until: str = ""
    """The last moment at which the certificate is valid, RFC 3339 in UTC."""
    algorithm: str = ""
