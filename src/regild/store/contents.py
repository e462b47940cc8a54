"""What generations hold: each content whole, and its packages as rows that can be asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select

from regild.model.content import Content, Package
from regild.model.versions import sort_key
from regild.store.catalogue import Writing
from regild.store.documents import keep_document
from regild.store.lineage import in_parts
from regild.store.schema import holdings, platforms, releases
from regild.store.texts import fitting

COLUMNS = tuple(
    releases.c[name] for name in ("type", "name", "version", "arch", "source", "source_version")
)

Key = tuple[str, str, str, str, str, str]
"""Type, name, version, arch, source and its version: one row of `releases`."""


def keep_content(change: Writing, content: Content) -> int:
    """Keep a content, whole and as rows; its row. One that is known costs a look.

    Raises: Malformed for what has no JSON.
    """
    row, _, is_new = keep_document(change, "content", content)
    if not is_new:
        return row
    platform = content.platform
    said = {"id": platform.id, "version": platform.version, "arch": platform.arch}
    values = {name: fitting(word, platforms.c[name]) for name, word in said.items()}
    counts = {"packages": len(content.packages), "unknowns": len(content.unknowns)}
    change.connection.execute(insert(platforms).values(content_id=row, **values, **counts))
    wanted = {key_of(package) for package in content.packages}
    held = [{"release_id": one, "content_id": row} for one in _releases(change, wanted)]
    if held:
        change.connection.execute(insert(holdings), held)
    return row


def key_of(package: Package) -> Key:
    """A package as it is told apart from others, in text that every database takes."""
    source = package.source or package.name
    source_version = package.source_version or package.version
    known = package.type, package.name, package.version, package.arch
    words = *known, source, source_version
    return tuple(map(fitting, words, COLUMNS))  # type: ignore[return-value] # six


def _releases(change: Writing, wanted: set[Key]) -> Iterable[int]:
    """The rows of some packages; those that no content held before are added."""
    found: dict[Key, int] = {}
    names = sorted({key[1] for key in wanted})
    for part in in_parts(names):
        rows = select(releases.c.id, *COLUMNS).where(releases.c.name.in_(part))
        for row in change.connection.execute(rows):
            found[tuple(row[1:])] = row.id
    missing = [_row(key) for key in sorted(wanted - found.keys())]
    if missing:
        added = insert(releases).returning(releases.c.id)
        yield from change.connection.execute(added, missing).scalars()
    yield from (found[key] for key in sorted(wanted & found.keys()))


def _row(key: Key) -> dict[str, Any]:
    type_, name, version, arch, source, source_version = key
    return {
        "type": type_,
        "name": name,
        "version": version,
        "arch": arch,
        "sort_key": sort_key(type_, version),
        "source": source,
        "source_version": source_version,
        "source_key": sort_key(type_, source_version),
    }
