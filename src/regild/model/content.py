"""What an image holds: the values that a content descriptor states and that planning starts from.

A `Content` is complete enough to plan from without the disk: the package list for people and
agents, and the
planning state (relations, marks, preferences, keys) for the solver.
"""

from __future__ import annotations

import msgspec

from regild.model.digest import Digest, canonical, sha256_of


class Value(msgspec.Struct, frozen=True):
    """A plain, immutable value with JSON both ways (`regild.model.json`)."""


class Platform(Value, frozen=True):
    """Which operating system the image holds."""

    family: str = ""
    """`linux`, `windows`, `macos`; empty where unknown."""
    id: str = ""
    """ID of os-release(5), such as `debian`; else `windows`, `windows-server` or `macos`."""
    version: str = ""
    """VERSION_ID of os-release(5), such as `12`; for Debian the point release of
    /etc/debian_version where there is one; for Windows all four numbers, such as
    `10.0.20348.2849`."""
    codename: str = ""
    """VERSION_CODENAME of os-release(5); for Windows the release, such as `22H2`."""
    name: str = ""
    """PRETTY_NAME of os-release(5), or the product's name."""
    arch: str = ""
    """The package manager's name of the native architecture, such as `amd64`."""
    kernels: tuple[str, ...] = ()
    """Versions of the kernels found under /boot."""
    edition: str = ""
    """Windows: EditionID, such as `ServerStandard`."""
    build: str = ""
    """Windows: the build, such as `20348`; macOS: the build, such as `22G120`."""
    ubr: int = 0
    """Windows: the update build revision, which every cumulative update raises; 0 where it is not
    known."""


class BootEntry(Value, frozen=True):
    """One choice that the guest's boot loader offers."""

    title: str
    kernel: str
    """As the loader has it: from the root of the volume that it reads."""
    version: str
    """The kernel's; empty where no name says it."""
    where: str
    initrd: str = ""
    """The first initial RAM disk that comes with it, as the loader has it."""
    root: str = ""
    """What the kernel is told to mount as its root, such as `UUID=...`."""


class Package(Value, frozen=True):
    """One installed package of any family."""

    type: str
    """The purl type: deb, rpm, apk, pypi, ...; `windows` for an update of component-based
    servicing, `macos` for an installer's receipt."""
    name: str
    """Of an update of Windows its number, such as `KB5034129`, where the guest tells it."""
    version: str
    arch: str = ""
    source: str = ""
    """The source package's name, equal to `name` where there is no other; of an update of Windows
    the name of its package, such as `Package_for_RollupFix`."""
    source_version: str = ""
    purl: str = ""
    state: str = "installed"
    """`installed`, or the package manager's word for a package that is not whole, such as `half-
    configured`."""
    hold: bool = False
    auto: bool = False
    """Installed only because another package needed it."""
    where: str = ""
    """The path in the guest that says so."""


class Application(Value, frozen=True):
    """A program that no package manager of the guest knows."""

    name: str
    version: str
    where: str
    recipe: str = ""


class Source(Value, frozen=True):
    """Where the image itself takes updates from."""

    type: str
    """`apt`, `rpm-md` or `apk`."""
    uri: str
    suite: str
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    """Paths of keyrings in the guest, fingerprints, or an embedded armoured key; empty: all
    trusted keys."""
    enabled: bool = True
    trusted: bool = False
    """The image says [trusted=yes]; regild does not follow it."""
    options: tuple[str, ...] = ()
    """Further options of sources.list(5) as `name=value`, sorted; `credentials=removed` where the
    address held some."""
    where: str = ""
    """File and line, such as `/etc/apt/sources.list:3`."""


class Unknown(Value, frozen=True):
    """A thing that could not be read; never the same as an empty answer."""

    where: str
    why: str


class Witness(Value, frozen=True):
    """A file whose digest shows whether a descriptor still fits its disk."""

    volume: str
    """`UUID=...` of the filesystem."""
    path: str
    digest: Digest
    bytes: int


class TextFile(Value, frozen=True):
    """A small text file of the guest, whole."""

    path: str
    text: str


class Keyring(Value, frozen=True):
    """Public keys of the guest that sign its update sources."""

    path: str
    keys: bytes
    """OpenPGP certificates, binary or armoured, as in the file (base64 in JSON)."""


class VolumeSpace(Value, frozen=True):
    """The free room of one of the guest's filesystems."""

    mount: str
    volume: str
    """`UUID=...`."""
    filesystem: str
    block_bytes: int
    blocks: int
    free_blocks: int
    reserved_blocks: int
    free_inodes: int
    dirty: bool = False
    """The journal must be replayed before the filesystem can be believed."""


class Planning(Value, frozen=True):
    """What a solver needs and a package list lacks; `status` is canonical, so its digest names the
    state."""

    type: str = ""
    """The family: `deb`; empty where there is nothing to plan with."""
    status: str = ""
    """dpkg: the status paragraphs of installed packages, reduced to the fields that a solver
    reads, sorted by name."""
    auto: tuple[str, ...] = ()
    """`name:arch` of the packages marked as automatically installed."""
    architectures: tuple[str, ...] = ()
    """Native architecture first, then the foreign ones."""
    preferences: tuple[TextFile, ...] = ()
    settings: tuple[TextFile, ...] = ()
    """Solver settings named by option, such as APT::Default-Release; nothing that runs a
    program."""
    keyrings: tuple[Keyring, ...] = ()


class Content(Value, frozen=True):
    """Everything that a descriptor says about one virtual system."""

    platform: Platform
    packages: tuple[Package, ...] = ()
    applications: tuple[Application, ...] = ()
    sources: tuple[Source, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    planning: Planning = Planning()
    volumes: tuple[VolumeSpace, ...] = ()
    witnesses: tuple[Witness, ...] = ()

    @property
    def state(self) -> Digest:
        """The digest of everything that a plan depends on; equal for the disk and for its
        descriptor."""
        return sha256_of(canonical((self.platform, self.packages, self.sources, self.planning)))
