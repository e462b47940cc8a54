"""The answers as a person reads them: plain text, aligned, the unknown printed loudly.

Pure: an answer and a width in, text out. Everything that an image says passes `regild.cli.text`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from regild.cli.errand_text import done_sentence, errand_pairs, many, restart_rows
from regild.cli.feeds_text import feed_line
from regild.cli.marks_text import mark_rows
from regild.cli.progress import bytes_text
from regild.cli.proof_text import boot_rows
from regild.cli.table import pairs, table
from regild.cli.text import plain
from regild.cli.writers import writer_rows
from regild.model.advisory import SEVERITIES, AdvisoryFeed, Severity, Weakness
from regild.model.answers import (
    ConformanceAnswer,
    DescribeAnswer,
    DiffAnswer,
    DiskAnswer,
    LintAnswer,
    PlanAnswer,
    SignAnswer,
    StripAnswer,
    UpdateAnswer,
    VerifyAnswer,
)
from regild.model.appliance import SignatureState
from regild.model.content import Package, Platform, Source, Unknown
from regild.model.job import JobsAnswer
from regild.model.plan import Skipped, Step
from regild.model.proof import ProveAnswer

FIXES_SHOWN = 1
NAMES_SHOWN = 4
GRAVE = ("critical", "high")
"""Severities whose unfixed advisories are shown one by one; `--json` has all."""


def describe_text(answer: DescribeAnswer, width: int) -> str:
    """What an image holds: a summary, its packages, and what could not be read."""
    system = f", virtual system {answer.system}" if answer.system else ""
    if answer.name not in ("", answer.system):
        system += f" ({answer.name})"
    summary = [
        ("Platform", platform_text(answer.platform)),
        ("Kernels", list(answer.platform.kernels)),
        ("Boot menu", [f"{one.title}: {one.version or one.kernel}" for one in answer.boot]),
        ("Packages", _counts(answer.packages)),
        ("Applications", [f"{one.name} {one.version}" for one in answer.applications]),
        ("Sources", [_source(one) for one in answer.sources]),
        ("Disks", [_disk(one) for one in answer.disks]),
        ("Descriptor", f"{answer.descriptor.state}: {answer.descriptor.why}"),
        ("Read", bytes_text(answer.read_bytes)),
    ]
    packages = table(
        ["PACKAGE", "VERSION", "ARCH", "SOURCE"],
        [(one.name, one.version, one.arch, _origin(one)) for one in answer.packages],
        width,
    )
    written = [
        f"Written: {plain(one.path)}, {bytes_text(one.bytes)}"
        for one in (answer.output, answer.bom)
        if one
    ]
    head = [plain(f"{answer.image}{system}"), *pairs(summary, width)]
    return _blocks(head, packages, written, _unknowns(answer.unknowns, width))


def strip_text(answer: StripAnswer, width: int) -> str:
    """What was taken out, and where the result stands."""
    taken = "Removed", bytes_text(answer.removed_bytes) if answer.removed_bytes else "nothing"
    written = ("Written", f"{answer.output.path}, {bytes_text(answer.output.bytes)}")
    return _blocks([plain(answer.image), *pairs([taken, written], width)])


def plan_text(answer: PlanAnswer, width: int, now: datetime) -> str:
    """What would change and why, what was left out, and what could not be read; `now` is what the
    age of repositories is counted to."""
    basis = "its disk" if answer.basis == "disk" else "its descriptor alone"
    summary = [
        ("Download", bytes_text(answer.download_bytes)),
        ("Growth on disk", bytes_text(answer.disk_bytes)),
        ("Method", _methods(answer.steps)),
        *restart_rows(answer.steps),
        *([("Carrier", f"{answer.carrier}: {answer.carrier_why}")] if answer.steps else []),
        *(writer_rows(answer.writers) if answer.steps else ()),
        *errand_pairs(answer.errands),
        *mark_rows(answer.marks),
        ("Feeds", [feed_line(one, now) for one in answer.feeds]),
        *(
            [("Advisories", list(map(_advisory_feed, answer.advisories)))]
            if answer.advisories
            else []
        ),
        ("Basis", f"{basis}, mode {answer.mode}"),
        ("Plan", answer.id),
    ]
    return _blocks(
        [plain(f"{answer.image}: {_plan_sentence(answer)}")],
        _steps(answer.steps, width),
        _skipped(answer.skipped, width),
        _unfixed(answer.unfixed, width),
        pairs(summary, width),
        _unknowns(answer.unknowns, width),
    )


def update_text(answer: UpdateAnswer, width: int) -> str:
    """What was changed and checked, and where the result stands."""
    receipt = answer.receipt
    summary: list[tuple[str, object]] = [("Plan", answer.plan_id)]
    if receipt:
        summary += [("Carrier", receipt.carrier), *writer_rows(receipt.writers)]
        summary += [*errand_pairs(receipt.errands), ("Checks", list(receipt.checks))]
        summary += boot_rows(receipt.boot_test) if receipt.boot_test else []
    if answer.output:
        size = bytes_text(answer.output.bytes)
        summary.append(("Output", f"{answer.output.path}, {size}"))
        if answer.output.sha256:  # a folder has none
            summary.append(("SHA-256", answer.output.sha256))
    return _blocks(
        [done_sentence(answer)],
        _steps(answer.upgraded, width),
        _skipped(answer.skipped, width),
        pairs(summary, width),
        _unknowns(answer.unknowns, width),
    )


def verify_text(answer: VerifyAnswer, width: int) -> str:
    """Which promises of an image hold."""
    summary: list[tuple[str, object]] = [
        ("Manifest", f"{answer.manifest.state}: {answer.manifest.why}")
    ]
    if answer.signature:
        summary.append(("Signature", f"{answer.signature.state}: {answer.signature.why}"))
        summary += _signer(answer.signature)
    for one in answer.descriptors:
        name = f"Descriptor of {one.system}" if len(answer.descriptors) > 1 else "Descriptor"
        summary.append((plain(name), f"{one.state}: {one.why}"))
        if one.virtual:
            summary.append(("Virtual disk", one.virtual))
    for receipt in answer.receipts:
        summary.append(("Receipt", f"{receipt.name}: {receipt.state}: {receipt.why}"))
    summary.append(("Hashed", bytes_text(answer.hashed_bytes)))
    differences = table(
        ["WHAT", "EXPECTED", "OBSERVED"],
        [
            (one.what, one.expected, one.observed)
            for one in (*answer.differences, *(d for r in answer.receipts for d in r.differences))
        ],
        width,
    )
    return _blocks(
        [plain(answer.image), *pairs(summary, width)],
        differences,
        _unknowns(answer.unknowns, width),
    )


def prove_text(answer: ProveAnswer, width: int) -> str:
    """What held, what did not and how, and what could not be asked."""
    blocks = [[plain(answer.image)]]
    for system in answer.systems:
        rows = [(one.check, one.state, one.why or one.says) for one in system.checks]
        differences = [
            (check.check, one.what, one.expected, one.observed)
            for check in system.checks
            for one in check.differences
        ]
        blocks += [
            [plain(system.system)] if len(answer.systems) > 1 else [],
            table(["CHECK", "STATE", "WHAT"], rows, width),
            table(["CHECK", "WHERE", "EXPECTED", "OBSERVED"], differences, width),
            _unknowns(system.unknowns, width),
        ]
    return _blocks(*blocks)


def jobs_text(answer: JobsAnswer, width: int, removed: bool = False) -> str:
    """The jobs in a folder, or those that were removed from it."""
    count = many(len(answer.jobs), "job", "jobs")
    head = f"{count} removed from {answer.folder}" if removed else f"{count} in {answer.folder}"
    rows = [
        (one.name, one.state, one.phase, bytes_text(one.bytes), one.image, one.log)
        for one in answer.jobs
    ]
    return _blocks(
        [plain(head)], table(["JOB", "STATE", "PHASE", "SIZE", "IMAGE", "LOG"], rows, width)
    )


def sign_text(answer: SignAnswer, width: int) -> str:
    """Who signed, and where the result stands."""
    written = ("Written", f"{answer.output.path}, {bytes_text(answer.output.bytes)}")
    return _blocks([plain(answer.image), *pairs([*_signer(answer.signature), written], width)])


def diff_text(answer: DiffAnswer, width: int) -> str:
    """What changed between two images, package by package."""
    counts = Counter(one.action for one in answer.changes)
    said = [many(number, action, f"{action}s") for action, number in counts.items()]
    head = f"{answer.old} -> {answer.new}: {', '.join(said) or 'the same packages'}"
    changes = [
        (one.action, one.name, one.arch, one.was, one.becomes, _fixes(one.fixes))
        for one in answer.changes
    ]
    others = (*answer.platform, *answer.applications, *answer.sources)
    return _blocks(
        [plain(head)],
        table(["CHANGE", "PACKAGE", "ARCH", "FROM", "TO", "FIXES"], changes, width),
        table(
            ["OTHER", "BEFORE", "AFTER"],
            [(one.what, one.expected, one.observed) for one in others],
            width,
        ),
        _unknowns(answer.unknowns, width),
    )


def lint_text(answer: LintAnswer, width: int) -> str:
    """What consumers would trip over, each rule with its places, its reason and its remedy."""
    head = f"{answer.image}: {many(len(answer.findings), 'finding', 'findings')}"
    if answer.output:
        head += f", {len(answer.fixed)} put right in {answer.output.path}"
    blocks = [[plain(head)]]
    for rule, group in itertools.groupby(answer.findings, key=lambda one: one.rule):
        found = list(group)
        every = len(found[0].targets) == len(answer.targets)
        summary: list[tuple[str, object]] = [
            ("At", [f"{one.where}: {one.detail}" for one in found]),
            ("Trips", "every target" if every else ", ".join(found[0].targets)),
            ("Why", found[0].why),
            ("Fix", found[0].fix + (" (--fix does it)" if found[0].safe else "")),
        ]
        blocks.append([plain(f"{rule}: {found[0].what}"), *pairs(summary, width)])
    return _blocks(*blocks, [plain(one) for one in answer.left_out])


def conformance_text(answer: ConformanceAnswer, width: int) -> str:
    """How many cases of a kit were judged as expected, and those that were not."""
    head = f"{answer.kit}: {len(answer.cases) - answer.failed} of {len(answer.cases)} as expected"
    wrong = [one for one in answer.cases if one.expected != one.observed]
    rows = [(one.file, one.why, _states(one.expected), _states(one.observed)) for one in wrong]
    return _blocks([plain(head)], table(["FILE", "WHY", "EXPECTED", "OBSERVED"], rows, width))


def _states(states: Mapping[str, str]) -> str:
    return ", ".join(f"{system} {state}".strip() for system, state in states.items())


def platform_text(platform: Platform) -> str:
    """A platform in one line."""
    name = platform.name or " ".join(filter(None, (platform.id, platform.version)))
    release = f"release {platform.version}" if platform.name and platform.version else ""
    return ", ".join(filter(None, (name or "unknown", release, platform.arch)))


def _blocks(*blocks: Sequence[str]) -> str:
    """Blocks of lines with an empty line between them; empty blocks vanish."""
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _unknowns(unknowns: Sequence[Unknown], width: int) -> list[str]:
    if not unknowns:
        return []
    things = many(len(unknowns), "thing", "things")
    return [
        f"!!! UNKNOWN: {things} could not be read; this answer is not complete",
        *table(["WHERE", "WHY"], [(one.where, one.why) for one in unknowns], width),
    ]


def _plan_sentence(answer: PlanAnswer) -> str:
    left_out = many(len(answer.skipped), "change is", "changes are")
    if answer.changes_something:
        count = len(answer.steps) or len(answer.errands)
        said = many(count, "change", "changes") + " to make"
        return f"{said}, {left_out} left out" if answer.skipped else said
    return f"nothing to do, but {left_out} left out" if answer.skipped else "up to date"


def _steps(steps: Sequence[Step], width: int) -> list[str]:
    rows = [(one.name, one.was, one.becomes, _reason(one), _cures(one)) for one in steps]
    return table(["PACKAGE", "FROM", "TO", "WHY", "FIXES"], rows, width)


def _methods(steps: Sequence[Step]) -> list[str]:
    """How the steps are carried out and why that is right, those for the same reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        groups.setdefault((step.method, step.method_why), []).append(step.name)
    return [
        f"{method}, {_several(names)}: {why}" if why else f"{method}, {_several(names)}"
        for (method, why), names in groups.items()
    ]


def _several(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < NAMES_SHOWN else f"{len(names)} packages"


def _cures(step: Step) -> str:
    """The first few ids, how many more, and whether one of them is used in attacks."""
    return _fixes(step.exploited or step.fixes) + (", exploited" if step.exploited else "")


def _reason(step: Step) -> str:
    """Why a step is taken, short enough for a column; `--json` has it whole."""
    if step.action == "upgrade":
        return _grave("security", step.severity) if step.security else step.why
    return f"{step.action}: {step.why}"


def _skipped(skipped: Sequence[Skipped], width: int) -> list[str]:
    rows = [(one.name, one.available, one.why) for one in skipped]
    return table(["LEFT OUT", "AVAILABLE", "WHY"], rows, width)


def _grave(what: str, severity: Severity) -> str:
    return f"{what}, {severity}" if severity else what


def _unfixed(unfixed: Sequence[Weakness], width: int) -> list[str]:
    """What stays: how much of each severity, and the gravest by name."""
    if not unfixed:
        return []
    counts = Counter[str](one.severity or "not rated" for one in unfixed)
    said = ", ".join(
        f"{counts[word]} {word}" for word in (*SEVERITIES[:-1], "not rated") if counts[word]
    )
    shown = [one for one in unfixed if one.exploited or one.severity in GRAVE]
    rows = [
        (
            one.package,
            one.advisory,
            _grave("exploited", one.severity) if one.exploited else one.severity,
            one.fixed or "none",
            one.why,
        )
        for one in shown
    ]
    head = f"Unfixed: {many(len(unfixed), 'advisory stays', 'advisories stay')} ({said})"
    return [head, *table(["PACKAGE", "ADVISORY", "SEVERITY", "FIX", "WHY"], rows, width)]


def _advisory_feed(feed: AdvisoryFeed) -> str:
    date = f", {feed.date}" if feed.date else ""
    return f"{feed.place}: {feed.advisories} by {', '.join(feed.kinds) or 'nobody'}{date}"


def _fixes(fixes: Sequence[str]) -> str:
    """The first few ids, and how many more."""
    more = f" +{len(fixes) - FIXES_SHOWN}" if len(fixes) > FIXES_SHOWN else ""
    return " ".join(fixes[:FIXES_SHOWN]) + more


def _counts(packages: Iterable[Package]) -> str:
    counts = Counter(one.type for one in packages)
    held = sum(1 for one in packages if one.hold)
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
    return f"{said} ({held} held)" if held else said


def _origin(package: Package) -> str:
    """The source package where it says more than the package's own name."""
    notes = [package.source] if package.source not in ("", package.name) else []
    notes += ["held"] if package.hold else []
    notes += [package.state] if package.state != "installed" else []
    return ", ".join(notes)


def _signer(signature: SignatureState) -> list[tuple[str, object]]:
    """Who made a signature, as far as the certificate says."""
    stated = (("Signer", signature.subject), ("Vouched by", signature.issuer))
    return [
        *(one for one in stated if one[1]),
        *([("Until", signature.until)] if signature.until else []),
    ]


def _source(source: Source) -> str:
    off = "" if source.enabled else " (disabled)"
    unsigned = " (unsigned, will not be believed)" if source.trusted else ""
    components = " ".join(source.components)
    return f"{source.type} {source.uri} {source.suite} {components}".rstrip() + off + unsigned


def _disk(disk: DiskAnswer) -> str:
    virtual, stored = bytes_text(disk.virtual_bytes), bytes_text(disk.stored_bytes)
    return f"{disk.name}, {disk.format}, {virtual}, stored in {stored}"
