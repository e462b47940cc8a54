"""The catalogue's tables: one description for SQLite and PostgreSQL (SQLAlchemy 2, Core).

Moments are text of fixed width in UTC, so that both databases sort and compare them alike. What is
changed later goes into a migration as well; a test holds the two against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from regild.errors import TooLarge

MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """As the database holds it."""
        return None if value is None else value.astimezone(UTC).strftime(MOMENT)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """As Python has it."""
        return None if value is None else datetime.strptime(value, MOMENT).replace(tzinfo=UTC)


class Short(TypeDecorator[str]):
    """Text of so many signs at most; longer text is refused on every database, for SQLite does not
    count and PostgreSQL does. What is only compared with it may be of any length."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As the database holds it.

        Raises: TooLarge, which SQLAlchemy wraps and `regild.store.catalogue` unwraps.
        """
        most: int | None = getattr(self.impl_instance, "length", None)
        if value is not None and most is not None and len(value) > most:
            why = f"the catalogue keeps at most {most} signs of it"
            raise TooLarge(where=f"{value[:40]!r}...", why=why)
        return value

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """The type of a value in a comparison."""
        return String()


tables = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

images = Table(
    "images",
    tables,
    Column("id", Integer, primary_key=True),
    Column("name", Short(63), nullable=False, unique=True),
    Column("about", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("keep_newest", Integer, nullable=False),
    Column("keep_days", Integer, nullable=False),
)

documents = Table(
    "documents",
    tables,
    Column("id", Integer, primary_key=True),
    Column("digest", Short(80), nullable=False, unique=True),
    Column("kind", Short(20), nullable=False),
    Column("packed", LargeBinary, nullable=False),
)
"""JSON of contents, plans and receipts, zstd-packed, each once."""

generations = Table(
    "generations",
    tables,
    Column("id", Integer, primary_key=True),
    Column("image_id", ForeignKey("images.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Short(80), nullable=False, index=True),
    Column("form", Short(10), nullable=False),
    Column("created", Moment, nullable=False),
    Column("actor", Short(200), nullable=False),
    Column("parent_id", ForeignKey("generations.id"), index=True),
    Column("content_id", ForeignKey("documents.id"), index=True),
    Column("plan_id", ForeignKey("documents.id")),
    Column("receipt_id", ForeignKey("documents.id")),
    Column("pinned", Boolean, nullable=False),
    Column("expired", Moment),
    UniqueConstraint("image_id", "number"),
)

files = Table(
    "files",
    tables,
    Column("generation_id", ForeignKey("generations.id"), primary_key=True),
    Column("name", Short(255), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("digest", Short(80), nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
)

revocations = Table(
    "revocations",
    tables,
    Column("generation_id", ForeignKey("generations.id"), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("why", Text, nullable=False),
    Column("actor", Short(200), nullable=False),
    Column("made", Moment, nullable=False),
)

channels = Table(
    "channels",
    tables,
    Column("id", Integer, primary_key=True),
    Column("image_id", ForeignKey("images.id"), nullable=False),
    Column("name", Short(63), nullable=False),
    Column("place", Integer, nullable=False),
    Column("generation_id", ForeignKey("generations.id"), index=True),
    Column("since", Moment),
    Column("actor", Short(200), nullable=False),
    Column("pinned", Boolean, nullable=False),
    UniqueConstraint("image_id", "name"),
)

moves = Table(
    "moves",
    tables,
    Column("id", Integer, primary_key=True),
    Column("channel_id", ForeignKey("channels.id"), nullable=False, index=True),
    Column("generation_id", ForeignKey("generations.id"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", Short(200), nullable=False),
    Column("kind", Short(10), nullable=False),
    Column("why", Text, nullable=False),
)

groups = Table(
    "groups",
    tables,
    Column("id", Integer, primary_key=True),
    Column("name", Short(63), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("image", Short(63), nullable=False, index=True),
    Column("channel", Short(63), nullable=False),
    Column("size", Integer),
    Column("rotation", JSON, nullable=False),
)

group_versions = Table(
    "group_versions",
    tables,
    Column("group_id", ForeignKey("groups.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("made", Moment, nullable=False),
    Column("actor", Short(200), nullable=False),
)

instances = Table(
    "instances",
    tables,
    Column("id", Integer, primary_key=True),
    Column("group_id", ForeignKey("groups.id"), nullable=False),
    Column("name", Short(63), nullable=False),
    Column("state", Short(40), nullable=False),
    Column("current_id", ForeignKey("generations.id"), index=True),
    Column("staged_id", ForeignKey("generations.id"), index=True),
    Column("desired_id", ForeignKey("generations.id"), index=True),
    Column("user", Short(200), nullable=False),
    Column("place", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("changed", Moment, nullable=False),
    UniqueConstraint("group_id", "name"),
)

windows = Table(
    "windows",
    tables,
    Column("id", Integer, primary_key=True),
    Column("name", Short(63), nullable=False, unique=True),
    Column("kind", Short(10), nullable=False),
    Column("calendar", Text, nullable=False),
    Column("made", Moment, nullable=False),
    Column("actor", Short(200), nullable=False),
)

approvals = Table(
    "approvals",
    tables,
    Column("id", Integer, primary_key=True),
    Column("subject", Short(255), nullable=False, index=True),
    Column("asked", Moment, nullable=False),
    Column("verdict", Short(10), nullable=False),
    Column("decided", Moment),
    Column("actor", Short(200), nullable=False),
    Column("why", Text, nullable=False),
)

jobs = Table(
    "jobs",
    tables,
    Column("id", Integer, primary_key=True),
    Column("key", Short(100), nullable=False, unique=True),
    Column("kind", Short(40), nullable=False),
    Column("subject", Short(255), nullable=False, index=True),
    Column("state", Short(10), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("result", JSON, nullable=False),
    Column("why", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", Short(200), nullable=False),
    Column("until", Moment),
    Column("token", Integer, nullable=False),
    Column("not_before", Moment),
    Column("made", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
    Index(None, "state", "kind"),
)

leases = Table(
    "leases",
    tables,
    Column("name", Short(200), primary_key=True),
    Column("owner", Short(200), nullable=False),
    Column("until", Moment, nullable=False),
    Column("token", Integer, nullable=False),
)

events = Table(
    "events",
    tables,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", Short(200), nullable=False),
    Column("kind", Short(40), nullable=False),
    Column("subject", Short(255), nullable=False, index=True),
    Column("facts", JSON, nullable=False),
)
"""Append-only: triggers of the database refuse to change or delete a row."""

releases = Table(
    "releases",
    tables,
    Column("id", Integer, primary_key=True),
    Column("type", Short(20), nullable=False),
    Column("name", Short(255), nullable=False),
    Column("version", Short(255), nullable=False),
    Column("arch", Short(40), nullable=False),
    Column("sort_key", LargeBinary),
    Column("source", Short(255), nullable=False),
    Column("source_version", Short(255), nullable=False),
    Column("source_key", LargeBinary),
    UniqueConstraint("type", "name", "version", "arch", "source", "source_version"),
    Index(None, "name", "sort_key"),
    Index(None, "source", "source_key"),
)
"""Every package that any content holds, once, with a key that sorts as its family's versions do
(`regild.model.versions.sort_key`); no key where the family's order is not known."""

holdings = Table(
    "holdings",
    tables,
    Column("release_id", ForeignKey("releases.id"), primary_key=True),
    Column("content_id", ForeignKey("documents.id"), primary_key=True, index=True),
)

platforms = Table(
    "platforms",
    tables,
    Column("content_id", ForeignKey("documents.id"), primary_key=True),
    Column("id", Short(80), nullable=False, index=True),
    Column("version", Short(80), nullable=False),
    Column("arch", Short(40), nullable=False),
    Column("packages", Integer, nullable=False),
    Column("unknowns", Integer, nullable=False),
)

feed_uses = Table(
    "feed_uses",
    tables,
    Column("generation_id", ForeignKey("generations.id"), primary_key=True),
    Column("uri", Short(500), primary_key=True),
    Column("suite", Short(200), primary_key=True),
    Column("digest", Short(80), nullable=False),
    Index(None, "uri", "suite"),
)
"""The release files that each generation's newest plan was made from."""

packs = Table(
    "packs",
    tables,
    Column("id", Integer, primary_key=True),
    Column("digest", Short(80), nullable=False, unique=True),
    Column("bytes", Integer, nullable=False),
    Column("state", Short(10), nullable=False),
    Column("claim", Short(200), nullable=False),
    Column("made", Moment, nullable=False),
)
"""Files of the store that hold many pieces each. A row stands here before its file does: `writing`
by the claim of one publisher, then `live`, and `condemned` before the file is removed."""

pieces = Table(
    "pieces",
    tables,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("pack_id", ForeignKey("packs.id"), primary_key=True, index=True),
    Column("offset", Integer, nullable=False),
    Column("stored", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("method", Short(10), nullable=False),
)

maps = Table(
    "maps",
    tables,
    Column("digest", Short(80), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("piece", LargeBinary(32), nullable=False),
    Column("made", Moment, nullable=False),
)
"""Whole files by digest; how each is made of pieces is a piece itself."""

map_packs = Table(
    "map_packs",
    tables,
    Column("map", ForeignKey("maps.digest"), primary_key=True),
    Column("pack_id", ForeignKey("packs.id"), primary_key=True, index=True),
)
