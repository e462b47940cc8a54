"""The answers of the store as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from regild.cli.progress import bytes_text
from regild.cli.table import pairs, table
from regild.cli.text import plain
from regild.model.generation import Channel, Generation
from regild.model.store_answers import (
    ChannelAnswer,
    CheckAnswer,
    CollectAnswer,
    EventsAnswer,
    ExportAnswer,
    GenerationAnswer,
    GenerationsAnswer,
    ImageAnswer,
    ImagesAnswer,
    PushAnswer,
    QueryAnswer,
    RenewAnswer,
    StatsAnswer,
)

DIGITS = 12
"""So much of a digest is shown in a table."""


def images_text(answer: ImagesAnswer, width: int) -> str:
    """Every image with where its channels point."""
    rows = [(one.image.name, _channels(one.channels), one.image.about) for one in answer.images]
    lines = table(["IMAGE", "CHANNELS", "ABOUT"], rows, width)
    return "\n".join(lines or ["no image yet: regild image add NAME"])


def image_text(answer: ImageAnswer, width: int) -> str:
    """One image, its channels and its line."""
    kept = answer.image.retention
    retention = f"the newest {kept.newest}" if kept.newest else "all"
    if kept.newest and kept.days:
        retention += f", and what is younger than {kept.days} days"
    summary: list[tuple[str, object]] = [
        ("About", answer.image.about or "-"),
        ("Channels", [_channel(one) for one in answer.channels]),
        ("Kept", retention),
    ]
    head = [plain(answer.image.name), *pairs(summary, width)]
    lines = table(_HEAD, [_row(one) for one in answer.generations], width)
    return "\n".join([*head, *([""] if lines else []), *lines])


def generations_text(answer: GenerationsAnswer, width: int) -> str:
    """A line of generations."""
    lines = table(_HEAD, [_row(one) for one in answer.generations], width)
    return "\n".join(lines or ["no generation yet"])


def generation_text(answer: GenerationAnswer, width: int) -> str:
    """One generation, and what follows from its state."""
    one = answer.generation
    summary: list[tuple[str, object]] = [
        ("Digest", one.digest),
        ("Files", [f"{file.name}, {bytes_text(file.bytes)}" for file in one.files]),
        ("Parent", one.parent or "none"),
        ("State", _state(one)),
    ]
    if answer.heirs:
        summary.append(("With it", list(answer.heirs)))
    if answer.channel:
        summary.append(("Channel", _channel(answer.channel)))
    return "\n".join([plain(one.name), *pairs(summary, width)])


def channel_text(answer: ChannelAnswer, width: int) -> str:
    """Where a channel points."""
    moved = answer.was is not None and answer.was != answer.channel.number
    before = f", before at {answer.channel.image}@{answer.was}" if moved else ""
    return plain(f"{answer.channel.image}: {_channel(answer.channel)}{before}")


def renew_text(answer: RenewAnswer, width: int) -> str:
    """What a generation became."""
    made, base = answer.generation, answer.base
    if made is None:
        left = (
            f"; {len(answer.update.skipped)} changes are left out" if answer.update.skipped else ""
        )
        return plain(f"{base.name} is up to date; there is no new generation{left}")
    rows = [(one.name, one.was or "-", one.becomes or "-") for one in answer.update.upgraded]
    summary: list[tuple[str, object]] = [("Digest", made.digest), ("Plan", answer.update.plan_id)]
    if answer.channel:
        summary.append(("Channel", _channel(answer.channel)))
    head = plain(f"{base.name} -> {made.name}: {len(rows)} changes, applied and proven")
    return "\n".join(
        [head, *pairs(summary, width), "", *table(["PACKAGE", "FROM", "TO"], rows, width)]
    )


def export_text(answer: ExportAnswer, width: int) -> str:
    """What was written."""
    rows = [(one.path, bytes_text(one.bytes), one.sha256) for one in answer.outputs]
    return "\n".join([plain(answer.generation), *table(["FILE", "SIZE", "SHA-256"], rows, width)])


def push_text(answer: PushAnswer, width: int) -> str:
    """Where a generation is now."""
    head = f"{answer.generation} -> {answer.where}, {bytes_text(answer.sent_bytes)} sent"
    named = [answer.digest] if answer.digest else []
    return "\n".join(plain(line) for line in (head, *named, *answer.notes))


def check_text(answer: CheckAnswer, width: int) -> str:
    """What is damaged, and what that hurts."""
    sound = "whole" if not answer.damages else f"{len(answer.damages)} damages"
    checked = f", {bytes_text(answer.checked_bytes)} read" if answer.checked_bytes else ""
    rows = [(one.where, one.why, ", ".join(one.generations) or "none") for one in answer.damages]
    lines = [plain(f"{answer.where}: {sound}{checked}")]
    lines += table(["DAMAGED", "WHY", "HURTS"], rows, width)
    lines += [plain(f"not ours, left alone: {one}") for one in answer.strangers]
    return "\n".join(lines)


def collect_text(answer: CollectAnswer, width: int) -> str:
    """What was given up."""
    gone = ", ".join(answer.generations) or "no generation"
    return plain(f"given up: {gone}; {_packs(answer.packs)}, {bytes_text(answer.bytes)}")


def stats_text(answer: StatsAnswer, width: int) -> str:
    """How much is kept."""
    ratio = answer.files_bytes / answer.stored_bytes if answer.stored_bytes else 1.0
    summary: list[tuple[str, object]] = [
        ("Images", answer.images),
        ("Generations", f"{answer.generations}, {answer.expired} of them without bytes"),
        ("Files", bytes_text(answer.files_bytes)),
        ("Stored", f"{bytes_text(answer.stored_bytes)} in {_packs(answer.packs)} ({ratio:.1f}:1)"),
    ]
    return "\n".join([plain(answer.where), *pairs(summary, width)])


def events_text(answer: EventsAnswer, width: int) -> str:
    """What happened, a line for each."""
    rows = [
        (_moment(one.at), one.actor, one.kind, one.subject, _facts(one.facts))
        for one in answer.events
    ]
    return "\n".join(table(["WHEN", "WHO", "WHAT", "OF", "MORE"], rows, width) or ["nothing yet"])


def query_text(answer: QueryAnswer, width: int) -> str:
    """What fits a question."""
    rows = [
        (
            one.generation + (" (revoked)" if one.revoked else ""),
            ", ".join(one.packages),
            ", ".join(one.channels),
            ", ".join((*one.groups, *one.instances)),
        )
        for one in answer.rows
    ]
    head = f"{answer.question}: {len(rows)} generation{'' if len(rows) == 1 else 's'}"
    lines = [plain(head), *table(["GENERATION", "BECAUSE OF", "CHANNELS", "RUNS IN"], rows, width)]
    if answer.unknowns:
        lines += ["", f"!!! UNKNOWN: of {len(answer.unknowns)} it cannot be said"]
        lines += table(["WHERE", "WHY"], [(one.where, one.why) for one in answer.unknowns], width)
    return "\n".join(lines)


_HEAD = ("GENERATION", "PARENT", "CREATED", "SIZE", "DIGEST", "STATE")


def _row(one: Generation) -> tuple[str, ...]:
    size = bytes_text(sum(file.bytes for file in one.files))
    digest = one.digest.partition(":")[2][:DIGITS]
    return (one.name, one.parent, _moment(one.created), size, digest, _state(one))


def _state(one: Generation) -> str:
    said = ["pinned"] if one.pinned else []
    if one.revocation is not None:
        revoked = one.revocation
        when = "revoked" if revoked.at <= datetime.now(UTC) else "to be revoked"
        by = "" if revoked.generation == one.name else f" by {revoked.generation}"
        said.append(f"{when}{by} from {_moment(revoked.at)}: {revoked.why}")
    if one.expired is not None:
        said.append(f"given up on {one.expired:%Y-%m-%d}")
    return ", ".join(said) or "good"


def _packs(count: int) -> str:
    return f"{count} pack{'s' * (count != 1)}"


def _channels(channels: Iterable[Channel]) -> str:
    return ", ".join(_channel(one) for one in channels)


def _channel(one: Channel) -> str:
    at = f"{one.image}@{one.number}" if one.number is not None else "nothing"
    return f"{one.name} -> {at}" + (" (pinned)" if one.pinned else "")


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"


def _facts(facts: dict[str, object]) -> str:
    return ", ".join(
        f"{key} {value}" for key, value in facts.items() if value not in ("", [], None)
    )
