"""A plan: the exact steps that bring an image up to date, and what it will hold afterwards."""

from __future__ import annotations

from typing import Literal

from regild.model.advisory import AdvisoryFeed, Severity, Weakness
from regild.model.content import Application, Package, TextFile, Value
from regild.model.digest import Digest

Action = Literal["upgrade", "install", "remove"]
Method = Literal["offline", "boot"]
Mode = Literal["upgrade", "security", "full"]
Basis = Literal["disk", "descriptor"]
Carrier = Literal["record", "uml", "boot"]
MethodWish = Literal["auto", "offline", "boot"]
CarrierWish = Literal["auto", "record", "uml", "vm", "boot"]
Seal = Literal["machine-id", "host-keys", "random-seed", "caches", "logs", "temporary"]
"""What a site may want cleared in every image that it changes."""


class Archive(Value, frozen=True):
    """The package file that a step needs."""

    uri: str
    """Where the image's source offers it, before any mirror is applied."""
    name: str
    """The file's name as dpkg expects it in the archive folder."""
    digest: Digest
    """Of the file; of a package of apk (`NAME.apk`) of its control part, which holds the digest of
    the rest."""
    bytes: int


class Step(Value, frozen=True, rename={"was": "from", "becomes": "to"}):
    """One package that changes, why, and how."""

    action: Action
    name: str
    arch: str
    was: str = ""
    """The version before; empty for an install. `from` in JSON."""
    becomes: str = ""
    """The version after; empty for a removal. `to` in JSON."""
    type: str = "deb"
    source: str = ""
    source_version: str = ""
    method: Method = "offline"
    method_why: str = ""
    """Why offline is safe, or what the booted machine is needed for."""
    why: str = ""
    fixes: tuple[str, ...] = ()
    """CVE ids that the update is said to fix."""
    evidence: str = ""
    """Where `fixes` comes from: `changelog` (a mention, not a proof) or an advisory's id, that of
    the gravest."""
    security: bool = False
    archive: Archive | None = None
    advisories: tuple[str, ...] = ()
    """Ids of the advisories that hold for the version before and not for the one after."""
    severity: Severity = ""
    """The gravest of them."""
    exploited: tuple[str, ...] = ()
    """Those of `fixes` that are known to be used in attacks."""
    recipe: str = ""
    """The errand of the plan that makes this step; empty where the guest's package manager does."""
    restart: str = ""
    """Why instances that run have to be started anew for it; empty where they need not be."""


class Errand(Value, frozen=True):
    """What is run in the guest behind its package manager: by a recipe, or as somebody asked."""

    name: str
    """The recipe's, or `run`."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Each as a list of words, run one after another; each must end with 0."""
    tests: tuple[tuple[str, ...], ...] = ()
    """Run at the end, over files that they cannot change; each must end with 0."""
    changes: tuple[str, ...] = ()
    """Paths below which it may change files; none: wherever it likes, and the receipt says so."""
    files: tuple[Archive, ...] = ()
    """What is shown to it, in a folder that REGILD_FILES names."""
    texts: tuple[TextFile, ...] = ()
    """Small files in the same folder."""
    settings: tuple[tuple[str, str], ...] = ()
    """Names and values of its environment."""
    recipe: Digest | None = None
    """SHA-256 of the recipe's file; None where no recipe says it."""
    origin: str = ""
    """Who brought it: `site`, `command line` or `image`."""
    packages: bool = False
    """It may change the guest's packages; the receipt lists what became of them."""
    index: Digest | None = None
    """SHA-256 of the list of releases that was read."""
    index_date: str = ""
    """When that list was made, as it says."""


class Skipped(Value, frozen=True):
    """A change that is available and left out."""

    name: str
    why: str
    arch: str = ""
    available: str = ""


class Mark(Value, frozen=True):
    """Whether one package counts as installed for others only (apt-mark(8))."""

    name: str
    arch: str
    auto: bool


class FeedState(Value, frozen=True):
    """One repository as it was believed: address, date, digest and the key that signed it."""

    uri: str
    suite: str
    digest: Digest
    """SHA-256 of the signed release file."""
    date: str
    valid_until: str = ""
    signed_by: tuple[str, ...] = ()
    label: str = ""
    security: bool = False
    codename: str = ""
    """Codename of the release file, such as `bookworm-security`."""


class Room(Value, frozen=True):
    """What one of the image's volumes needs for a plan and has, as far as packages state it."""

    mount: str
    needed_bytes: int
    free_bytes: int
    """Without what is reserved for the superuser."""
    needed_inodes: int = 0
    free_inodes: int = 0


class VolumeWriter(Value, frozen=True):
    """What writes one of the image's volumes offline."""

    mount: str
    filesystem: str
    by: Literal["libext2fs", "user-mode-linux"]
    """`libext2fs` without any kernel; `user-mode-linux` mounts it in a kernel that is a process."""


class Plan(Value, frozen=True):
    """The steps for one image; the same inputs give the same `id` on every machine."""

    id: Digest
    base: Digest
    """`Content.state` of what was planned on."""
    basis: Basis
    mode: Mode
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    expected: tuple[Package, ...] = ()
    """The package list that must be observed afterwards, sorted."""
    feeds: tuple[FeedState, ...] = ()
    download_bytes: int = 0
    disk_bytes: int = 0
    """Growth of the installed size, as the packages state it; may be negative."""
    room: tuple[Room, ...] = ()
    """For each volume that grows, what it needs and has."""
    asked: Digest | None = None
    """Digest of what the solver was asked beside the image and the feeds: holds, mode, and so
    on."""
    advisories: tuple[AdvisoryFeed, ...] = ()
    """The feeds of advisories that were read, in the site's order."""
    unfixed: tuple[Weakness, ...] = ()
    """Advisories that hold for what the image will hold, the gravest first."""
    carrier: Carrier = "record"
    """What runs the guest's commands: `record` offline, over the guest's tree; `uml` the same
    inside a kernel of its own; `boot` in the booted guest."""
    carrier_why: str = ""
    errands: tuple[Errand, ...] = ()
    """What is run behind the guest's package manager, in this order."""
    applications: tuple[Application, ...] | None = None
    """The applications that must be observed afterwards; None where no recipe speaks of any."""
    writers: tuple[VolumeWriter, ...] = ()
    """For each volume that can be written, by what; without an entry a change there is refused."""
    seal: tuple[Seal, ...] = ()
    """What is cleared at the end; everything else of the image's own stays as it was."""
    marks: tuple[Mark, ...] = ()
    """Which packages count as installed for others afterwards, where that is neither as before nor,
    for a new one, that it does."""

    @property
    def package_steps(self) -> tuple[Step, ...]:
        """The steps that the guest's own package manager makes."""
        return tuple(step for step in self.steps if not step.recipe)

    @property
    def changes_something(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps or self.errands)


class Difference(Value, frozen=True):
    """One way in which what was observed is not what was expected."""

    what: str
    expected: str
    observed: str


__all__ = [
    "Action",
    "Archive",
    "Basis",
    "Carrier",
    "CarrierWish",
    "Difference",
    "Errand",
    "FeedState",
    "Mark",
    "Method",
    "MethodWish",
    "Mode",
    "Plan",
    "Room",
    "Skipped",
    "Step",
    "VolumeWriter",
]
