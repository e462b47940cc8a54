"""What each command answers: the values behind `--json`, the contract with programs.

Their JSON Schemas stand under docs/spec/schemas and are made from these types
(`regild.model.json.schema_of`). A field may be added; none is renamed or removed.
"""

from __future__ import annotations

from typing import Any, Literal

from regild.model.advisory import AdvisoryFeed
from regild.model.appliance import DescriptorState, SignatureState
from regild.model.cache_answers import CacheAnswer
from regild.model.content import (
    Application,
    BootEntry,
    Package,
    Platform,
    Source,
    Unknown,
    Value,
)
from regild.model.digest import Digest
from regild.model.finding import Finding
from regild.model.health import BootTestAnswer
from regild.model.job import JobsAnswer
from regild.model.plan import Difference, FeedState, Plan, Skipped, Step
from regild.model.proof import ProveAnswer, ReceiptAnswer
from regild.model.receipt import Receipt
from regild.model.recipe import RecipeFault

Form = Literal["ova", "folder", "disk"]


class DiskAnswer(Value, frozen=True):
    """One disk of an image, as it is stored."""

    name: str
    format: str
    virtual_bytes: int
    stored_bytes: int


class Output(Value, frozen=True):
    """A file that was written."""

    path: str
    sha256: str
    """Hexadecimal digits of the file's SHA-256; empty where the output is a folder."""
    bytes: int


class DescribeAnswer(Value, frozen=True):
    """`regild describe`: what one virtual system holds."""

    image: str
    form: Form
    system: str
    """Id of the virtual system; empty for a bare disk."""
    platform: Platform
    packages: tuple[Package, ...]
    applications: tuple[Application, ...]
    sources: tuple[Source, ...]
    unknowns: tuple[Unknown, ...]
    descriptor: DescriptorState
    disks: tuple[DiskAnswer, ...] = ()
    read_bytes: int = 0
    """Bytes that were read from the image's files."""
    state: Digest | None = None
    """Digest of everything that a plan depends on (`Content.state`)."""
    output: Output | None = None
    bom: Output | None = None
    boot: tuple[BootEntry, ...] = ()
    """What the boot loader offers; seen on the disk only, no part of a descriptor."""
    name: str = ""
    """The virtual system's name as the package says it, in the package's language."""


class PlanAnswer(Plan, frozen=True):
    """`regild plan`: the plan, and what stands around it."""

    image: str = ""
    system: str = ""
    unknowns: tuple[Unknown, ...] = ()
    descriptor: DescriptorState | None = None
    created: str = ""
    """When the image was made, by its descriptor, else its file (RFC 3339, UTC)."""


class UpdateAnswer(Value, frozen=True):
    """`regild update`: what changed and where the result is."""

    plan_id: Digest
    upgraded: tuple[Step, ...]
    differences: tuple[Difference, ...] = ()
    """Always empty in an answer: with a difference nothing is published."""
    skipped: tuple[Skipped, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    receipt: Receipt | None = None
    output: Output | None = None
    """None where there was nothing to do."""


class RecipeFile(Value, frozen=True):
    """One recipe that was looked at."""

    path: str
    name: str = ""
    digest: Digest | None = None
    """Of the file and of what it names beside itself; None where it cannot be used."""
    faults: tuple[RecipeFault, ...] = ()


class RecipeAnswer(Value, frozen=True):
    """`regild recipe check`: what is wrong in recipes."""

    files: tuple[RecipeFile, ...]


class FeedRow(Value, frozen=True):
    """One repository: who names it, where it is read, and what was seen of it last."""

    uri: str
    suite: str
    type: str = "apt"
    image: str = ""
    """The image that names it; empty where none was asked about."""
    where: str = ""
    """File and line in the image."""
    enabled: bool = True
    allowed: bool = False
    """Whether the site lets it be read."""
    why: str = ""
    """Why not."""
    place: str = ""
    """The address that is read."""
    signers: tuple[str, ...] = ()
    """Fingerprints to which the site narrows the keys that the image trusts."""
    state: FeedState | None = None
    """What was believed last; None where it was never read."""
    read: str = ""
    """When that was (RFC 3339, UTC)."""
    age_days: float | None = None
    """Since the repository itself was made."""
    expired: bool = False
    """Its own end of validity is past."""


class AdvisoryRow(Value, frozen=True):
    """One feed of advisories of the site."""

    place: str
    feed: AdvisoryFeed | None = None
    """What was read last; None where nothing was, or, unless it is refreshed, for a path."""


class FeedsAnswer(Value, frozen=True):
    """`regild feeds list`, `refresh` and `status`: the feeds of images and of the site."""

    sources: tuple[FeedRow, ...] = ()
    advisories: tuple[AdvisoryRow, ...] = ()


ManifestStatus = Literal["whole", "partial", "absent", "broken"]


class ManifestAnswer(Value, frozen=True):
    """How an appliance's files compare with its manifest."""

    state: ManifestStatus
    why: str
    entries: int = 0


class SystemState(Value, frozen=True):
    """How far one virtual system's descriptor can be believed."""

    system: str
    state: str
    why: str
    virtual: Digest | None = None
    """Digest of the virtual disk's bytes, where it was computed (`--deep`)."""


class VerifyAnswer(Value, frozen=True):
    """`regild verify`: the manifest's digests and the descriptor against the disk."""

    image: str
    manifest: ManifestAnswer
    descriptors: tuple[SystemState, ...] = ()
    differences: tuple[Difference, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    hashed_bytes: int = 0
    signature: SignatureState | None = None
    """None for a bare disk, which none can be written for."""
    receipts: tuple[ReceiptAnswer, ...] = ()


class StripAnswer(Value, frozen=True):
    """`regild describe --strip`: an image without its descriptors."""

    image: str
    removed_bytes: int
    """Bytes of the .ovf that are gone; 0 where nothing was described."""
    output: Output


class SignAnswer(Value, frozen=True):
    """`regild sign`: who signed, and where the result is."""

    image: str
    signature: SignatureState
    output: Output


ChangeAction = Literal["upgrade", "downgrade", "install", "remove", "change"]


class Change(Value, frozen=True, rename={"was": "from", "becomes": "to"}):
    """One package that differs between two images."""

    action: ChangeAction
    """Another architecture of the same name is an install and a removal; `change` is the same
    version in another state, which `from` and `to` then name."""
    type: str
    name: str
    arch: str = ""
    was: str = ""
    becomes: str = ""
    fixes: tuple[str, ...] = ()


class DiffAnswer(Value, frozen=True):
    """`regild diff`: what changed from one image to another."""

    old: str
    new: str
    platform: tuple[Difference, ...] = ()
    changes: tuple[Change, ...] = ()
    applications: tuple[Difference, ...] = ()
    sources: tuple[Difference, ...] = ()
    unknowns: tuple[Unknown, ...] = ()


class Entry(Value, frozen=True):
    """One thing in a guest's folder."""

    name: str
    kind: str
    """`file`, `directory`, `symlink`, or what else it is."""
    bytes: int
    mode: int
    """Permission bits with setuid, setgid and sticky."""
    target: str = ""
    """Of a symlink, as it stands."""


class ListAnswer(Value, frozen=True):
    """`regild ls`: what stands at a path of the guest."""

    image: str
    path: str
    entries: tuple[Entry, ...]
    unknowns: tuple[Unknown, ...] = ()


class FileAnswer(Value, frozen=True):
    """`regild cat`: the bytes of a file of the guest."""

    image: str
    path: str
    content: bytes
    """Base64 in JSON."""


class CopyAnswer(Value, frozen=True):
    """`regild cp`: what was copied out of the guest."""

    image: str
    path: str
    output: str
    files: int
    bytes: int
    unknowns: tuple[Unknown, ...] = ()
    """What was left out, with the reason, and what of the guest could not be read."""


class LintAnswer(Value, frozen=True):
    """`regild lint`: what consumers would trip over."""

    image: str
    targets: tuple[str, ...]
    """The consumers that were asked for."""
    findings: tuple[Finding, ...] = ()
    """With `--fix`: those of the new package."""
    fixed: tuple[Finding, ...] = ()
    """Findings of the old package that the new one does not have."""
    left_out: tuple[str, ...] = ()
    """What of the old package is not in the new one, one sentence each."""
    output: Output | None = None


class KitCase(Value, frozen=True):
    """One labelled package of a conformance kit."""

    file: str
    why: str
    """What is tried, in one sentence."""
    descriptor: Literal["read", "refused", "absent"]
    """What any reader has to do with the section."""
    states: dict[str, str]
    """The expected state by the system's id; `{"": "refused"}` for the whole package."""
    basis: Literal["descriptor", "disk", "deep"] = "descriptor"


class Kit(Value, frozen=True):
    """The labels of a conformance kit (`kit.json`)."""

    version: str
    cases: tuple[KitCase, ...]


class CaseAnswer(Value, frozen=True):
    """What was said of one package of a kit."""

    file: str
    why: str
    expected: dict[str, str]
    observed: dict[str, str]


class ConformanceAnswer(Value, frozen=True):
    """`regild conformance`: every case of a kit, and how many were not judged as expected."""

    kit: str
    cases: tuple[CaseAnswer, ...]
    failed: int


class Failure(Value, frozen=True):
    """An error, as it stands in `--json` under `error`."""

    kind: str
    sentence: str
    hint: str
    exit_code: int
    retryable: bool
    facts: dict[str, Any]
    """The error's typed fields by name; which there are depends on `kind`."""
    log: str = ""
    """The file that tells more, where one was kept."""


class ErrorAnswer(Value, frozen=True):
    """Every command with `--json`, where it fails before it has an answer."""

    error: Failure


ANSWERS: dict[str, type[Value]] = {
    "describe": DescribeAnswer,
    "plan": PlanAnswer,
    "update": UpdateAnswer,
    "run": UpdateAnswer,
    "recipe": RecipeAnswer,
    "feeds": FeedsAnswer,
    "verify": VerifyAnswer,
    "prove": ProveAnswer,
    "boot-test": BootTestAnswer,
    "jobs": JobsAnswer,
    "cache": CacheAnswer,
    "diff": DiffAnswer,
    "conformance": ConformanceAnswer,
    "kit": Kit,
    "lint": LintAnswer,
    "ls": ListAnswer,
    "cat": FileAnswer,
    "cp": CopyAnswer,
    "sign": SignAnswer,
    "strip": StripAnswer,
    "error": ErrorAnswer,
}
"""The answer of each command, and of any that fails."""
