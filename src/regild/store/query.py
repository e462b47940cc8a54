"""Asking the catalogue what holds what: which generations, behind which channels, in which
instances.

What cannot be said is said: a generation without a content, one whose content is not complete, and
packages of a family whose versions have no known order are unknowns, never a silent no.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from re import compile as pattern
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select

from regild.model.content import Unknown
from regild.model.question import Term
from regild.model.store_answers import QueryRow
from regild.model.versions import ORDERS, sort_key
from regild.store.catalogue import Reading
from regild.store.lineage import revocations_of
from regild.store.schema import (
    channels,
    generations,
    groups,
    holdings,
    images,
    instances,
    platforms,
    releases,
)

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
ABOUT_CONTENT = ("package", "source", "platform")


@dataclass(frozen=True, slots=True)
class _Row:
    """A generation that can be found."""

    id: int
    name: str
    image: str
    content: int | None


@dataclass(slots=True)
class _Found:
    """What is known so far."""

    rows: dict[int, _Row]
    reasons: dict[int, list[str]] = field(default_factory=dict)
    """What in each content fits, as `name version`."""
    unordered: dict[int, str] = field(default_factory=dict)
    """Contents with a package that cannot be compared."""


def ask(
    view: Reading, terms: Sequence[Term], *, in_use: bool = False
) -> tuple[tuple[QueryRow, ...], tuple[Unknown, ...]]:
    """The generations for which every term holds, and what cannot be said.

    `in_use` asks only about those that a channel points at or an instance has.
    """
    at, runs = _channels(view), _instances(view)
    rows = _candidates(view, {*at, *runs} if in_use else None)
    found = _Found({one.id: one for one in rows})
    about_content = [one for one in terms if one.field in ABOUT_CONTENT]
    for term in terms:
        if term.field not in ABOUT_CONTENT:
            found.rows = {
                key: row
                for key, row in found.rows.items()
                if _names(term, row, at, runs) != term.negated
            }
    unknowns = _without_content(found) if about_content else []
    unsure = _incomplete(view) if about_content else {}
    for term in about_content:
        fits = _contents(view, term, found)
        unknowns += _unsure(term, fits, unsure, found)
        found.rows = {
            key: row for key, row in found.rows.items() if (row.content in fits) != term.negated
        }
    return _answers(view, found, at, runs), tuple(dict.fromkeys(unknowns))


def _candidates(view: Reading, wanted: set[int] | None) -> list[_Row]:
    """Generations that have their bytes, or are in use all the same."""
    columns = [generations.c.id, generations.c.number, generations.c.content_id]
    asked = (
        select(*columns, images.c.name, generations.c.expired)
        .join(images, images.c.id == generations.c.image_id)
        .order_by(images.c.name, generations.c.number)
    )
    return [
        _Row(row.id, f"{row.name}@{row.number}", row.name, row.content_id)
        for row in view.connection.execute(asked)
        if (row.expired is None if wanted is None else row.id in wanted)
    ]


def _channels(view: Reading) -> dict[int, list[str]]:
    """Channels by the generation that they point at."""
    found: dict[int, list[str]] = {}
    wanted = select(channels.c.generation_id, channels.c.name).order_by(channels.c.place)
    for row in view.connection.execute(wanted.where(channels.c.generation_id.is_not(None))):
        found.setdefault(row.generation_id, []).append(row.name)
    return found


def _instances(view: Reading) -> dict[int, list[tuple[str, str]]]:
    """Group and name of instances by the generation that they run."""
    found: dict[int, list[tuple[str, str]]] = {}
    wanted = (
        select(instances.c.current_id, groups.c.name.label("group"), instances.c.name)
        .join(groups, groups.c.id == instances.c.group_id)
        .where(instances.c.current_id.is_not(None))
    )
    for row in view.connection.execute(wanted.order_by(groups.c.name, instances.c.name)):
        found.setdefault(row.current_id, []).append((row.group, row.name))
    return found


def _names(
    term: Term, row: _Row, at: dict[int, list[str]], runs: dict[int, list[tuple[str, str]]]
) -> bool:
    """Whether one of a generation's names fits a pattern."""
    names = {
        "image": lambda: [row.image],
        "channel": lambda: at.get(row.id, []),
        "group": lambda: [group for group, _ in runs.get(row.id, [])],
    }[term.field]()
    return any(map(pattern(translate(term.value)).match, names))


def _contents(view: Reading, term: Term, found: _Found) -> set[int]:
    """The contents for which a term holds, with the reasons."""
    if term.field == "platform":
        return _of_platform(view, term)
    named, key = releases.c.name, releases.c.sort_key
    version = releases.c.version
    if term.field == "source":
        named, key, version = releases.c.source, releases.c.source_key, releases.c.source_version
    wanted = (
        select(holdings.c.content_id, releases.c.name, releases.c.version)
        .join(releases, releases.c.id == holdings.c.release_id)
        .where(named == term.value)
    )
    fits = set()
    for row in view.connection.execute(wanted.where(_compared(term, key, version))):
        fits.add(row.content_id)
        if not term.negated:
            reasons = found.reasons.setdefault(row.content_id, [])
            said = f"{row.name} {row.version}"
            if said not in reasons:
                reasons.append(said)
    if term.operator not in ("", "="):
        unordered = wanted.where(releases.c.type.not_in(list(ORDERS)))
        for row in view.connection.execute(unordered):
            found.unordered[row.content_id] = f"the order of {row.name} {row.version} is not known"
    return fits


def _compared(
    term: Term, key: ColumnElement[Any], version: ColumnElement[Any]
) -> ColumnElement[bool]:
    """The condition on a version, each family in its own order."""
    if not term.operator:
        return version.is_not(None)
    compare = OPERATORS[term.operator]
    ordered: list[ColumnElement[bool]] = [
        and_(releases.c.type == family, compare(key, sort_key(family, term.version)))
        for family in ORDERS
    ]
    if term.operator == "=":
        ordered.append(and_(releases.c.type.not_in(list(ORDERS)), version == term.version))
    return or_(false(), *ordered)


def _of_platform(view: Reading, term: Term) -> set[int]:
    """Contents of a distribution, in one of its versions where that is said."""
    id_, _, version = term.value.partition("-")
    wanted = select(platforms.c.content_id).where(platforms.c.id == id_)
    if version:
        exact = platforms.c.version == version
        wanted = wanted.where(or_(exact, platforms.c.version.startswith(f"{version}.")))
    return {row.content_id for row in view.connection.execute(wanted)}


def _without_content(found: _Found) -> list[Unknown]:
    """Generations whose content nobody could read are left out, and said."""
    unread = [row for row in found.rows.values() if row.content is None]
    found.rows = {key: row for key, row in found.rows.items() if row.content is not None}
    return [Unknown(row.name, "what it holds was not read") for row in unread]


def _incomplete(view: Reading) -> dict[int, int]:
    """How many things of each content could not be read, where there are any."""
    wanted = select(platforms.c.content_id, platforms.c.unknowns).where(platforms.c.unknowns > 0)
    return {row.content_id: row.unknowns for row in view.connection.execute(wanted)}


def _unsure(term: Term, fits: set[int], unsure: dict[int, int], found: _Found) -> list[Unknown]:
    """Generations for which a no, or an order, is not certain."""
    said = []
    for row in found.rows.values():
        content = row.content
        if content is None or content in fits:
            continue
        if content in found.unordered:
            said.append(Unknown(row.name, found.unordered[content]))
        elif content in unsure:
            why = f"{unsure[content]} things of it could not be read, so '{term}' is not certain"
            said.append(Unknown(row.name, why))
    return said


def _answers(
    view: Reading,
    found: _Found,
    at: dict[int, list[str]],
    runs: dict[int, list[tuple[str, str]]],
) -> tuple[QueryRow, ...]:
    revoked = revocations_of(view, list(found.rows))
    return tuple(
        QueryRow(
            generation=row.name,
            packages=tuple(found.reasons.get(row.content or 0, ())),
            channels=tuple(at.get(key, ())),
            groups=tuple(dict.fromkeys(group for group, _ in runs.get(key, ()))),
            instances=tuple(f"{group}/{name}" for group, name in runs.get(key, ())),
            revoked=key in revoked and revoked[key].at <= view.now,
        )
        for key, row in found.rows.items()
    )
