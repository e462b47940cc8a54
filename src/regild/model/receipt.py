"""A receipt: what was done to an image and what was checked, deterministic, for people and
programs."""

from __future__ import annotations

import msgspec

from regild.model.advisory import Weakness
from regild.model.content import Unknown, Value
from regild.model.digest import Digest
from regild.model.health import BootTest
from regild.model.plan import Action, FeedState, Method, Skipped, VolumeWriter


class ReceiptPackage(Value, frozen=True, rename={"was": "from", "becomes": "to"}):
    """One package that was changed, and the file that it came from."""

    action: Action
    name: str
    arch: str
    was: str = ""
    becomes: str = ""
    method: Method = "offline"
    archive: Digest | None = None
    """Digest of the package file; None for a removal."""
    fixes: tuple[str, ...] = ()
    evidence: str = ""


class ReceiptErrand(Value, frozen=True):
    """What was run besides the guest's package manager, word for word."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    tests: tuple[tuple[str, ...], ...] = ()
    """Each ended with 0 in the changed guest."""
    changes: tuple[str, ...] = ()
    """Where it was allowed to change files; none: anywhere."""
    files: dict[str, Digest] = msgspec.field(default_factory=dict)
    """Digests of the files that it was given, by their names."""
    settings: tuple[tuple[str, str], ...] = ()
    recipe: Digest | None = None
    """SHA-256 of the recipe's file; None where none says it."""
    origin: str = ""


class MediaRun(Value, frozen=True):
    """How a booted Windows installed what it was given."""

    codes: tuple[int, ...]
    """What each of the files ended with, in the order of the errands."""
    starts: int
    """How often the machine was started."""
    restarts: int
    """How many of these the files asked for."""
    build: str
    """As Windows reported it at the end."""
    ubr: int
    log: Digest
    """Of all that came over its first serial port."""
    screenshot: Digest | None = None
    """Of the last picture of its screen; None where there is none."""


class Receipt(Value, frozen=True):
    """What was done and what was checked, as the descriptor's generation can show it."""

    plan: Digest
    base: Digest
    result: Digest
    """`Content.state` of what was observed after the change."""
    carrier: str
    """How the guest's commands were run, such as `sandbox`."""
    checks: tuple[str, ...] = ()
    """What was checked and held; where one check fails there is no receipt."""
    unknowns: tuple[Unknown, ...] = ()
    """What could not be read in the result."""
    unchecked: tuple[Unknown, ...] = ()
    """What was not checked, and why."""
    mode: str = ""
    packages: tuple[ReceiptPackage, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    feeds: tuple[FeedState, ...] = ()
    tool: str = ""
    unfixed: tuple[Weakness, ...] = ()
    """Advisories that still hold for what the image holds now, as far as they are known."""
    errands: tuple[ReceiptErrand, ...] = ()
    boot_test: BootTest | None = None
    """How the result was when it was booted on a throw-away overlay; None where it was not."""
    writers: tuple[VolumeWriter, ...] = ()
    """By what each volume was, or could be, written; a change of any other was refused."""
    media_run: MediaRun | None = None
    """How a booted Windows installed the errands' files; None for everything else."""
    console: Digest | None = None
    """Of what a guest that was booted for its changes said on its console; the log stands beside
    the receipt."""


class Subject(Value, frozen=True):
    """A file that a statement speaks of."""

    name: str
    digest: dict[str, str]
    """Hexadecimal digits by algorithm."""


class Statement(Value, frozen=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """A receipt as others read it: an in-toto Statement v1."""

    kind: str
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Receipt
