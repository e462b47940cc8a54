"""The first shape of the catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER events_never_change BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
        "CREATE TRIGGER events_never_go BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$",
        "CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_stay()",
    ),
}
"""What makes each database itself refuse to change what has happened."""


def upgrade() -> None:
    """Make every table."""
    for make in (
        _images,
        _generations,
        _channels,
        _contents,
        _groups,
        _instances,
        _work,
        _events,
        _blobs,
    ):
        make()


def downgrade() -> None:
    """There is nothing before; a catalogue goes by removing its file or its database."""


def _images() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("keep_newest", sa.Integer(), nullable=False),
        sa.Column("keep_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("name", name=op.f("uq_images_name")),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("digest", name=op.f("uq_documents_digest")),
    )


def _generations() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("form", sa.String(length=10), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("content_id", sa.Integer(), nullable=True),
        sa.Column("plan_id", sa.Integer(), nullable=True),
        sa.Column("receipt_id", sa.Integer(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("expired", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(
            ["content_id"], ["documents.id"], name=op.f("fk_generations_content_id")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_generations_image_id")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["generations.id"], name=op.f("fk_generations_parent_id")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["documents.id"], name=op.f("fk_generations_plan_id")),
        sa.ForeignKeyConstraint(
            ["receipt_id"], ["documents.id"], name=op.f("fk_generations_receipt_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        sa.UniqueConstraint("image_id", "number", name=op.f("uq_generations_image_id_number")),
    )
    op.create_index(op.f("ix_generations_content_id"), "generations", ["content_id"], unique=False)
    op.create_index(op.f("ix_generations_digest"), "generations", ["digest"], unique=False)
    op.create_index(op.f("ix_generations_parent_id"), "generations", ["parent_id"], unique=False)
    op.create_table(
        "files",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generations.id"], name=op.f("fk_files_generation_id")
        ),
        sa.PrimaryKeyConstraint("generation_id", "name", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_digest"), "files", ["digest"], unique=False)


def _channels() -> None:
    op.create_table(
        "revocations",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generations.id"], name=op.f("fk_revocations_generation_id")
        ),
        sa.PrimaryKeyConstraint("generation_id", name=op.f("pk_revocations")),
    )
    op.create_table(
        "channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("generation_id", sa.Integer(), nullable=True),
        sa.Column("since", sa.String(length=27), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generations.id"], name=op.f("fk_channels_generation_id")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_channels_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
        sa.UniqueConstraint("image_id", "name", name=op.f("uq_channels_image_id_name")),
    )
    op.create_index(op.f("ix_channels_generation_id"), "channels", ["generation_id"], unique=False)
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name=op.f("fk_moves_channel_id")),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generations.id"], name=op.f("fk_moves_generation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moves")),
    )
    op.create_index(op.f("ix_moves_channel_id"), "moves", ["channel_id"], unique=False)


def _contents() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("arch", sa.String(length=40), nullable=False),
        sa.Column("sort_key", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("source_version", sa.String(length=255), nullable=False),
        sa.Column("source_key", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint(
            "type",
            "name",
            "version",
            "arch",
            "source",
            "source_version",
            name=op.f("uq_releases_type_name_version_arch_source_source_version"),
        ),
    )
    op.create_index(
        op.f("ix_releases_name_sort_key"), "releases", ["name", "sort_key"], unique=False
    )
    op.create_index(
        op.f("ix_releases_source_source_key"), "releases", ["source", "source_key"], unique=False
    )
    op.create_table(
        "holdings",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"], ["documents.id"], name=op.f("fk_holdings_content_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name=op.f("fk_holdings_release_id")
        ),
        sa.PrimaryKeyConstraint("release_id", "content_id", name=op.f("pk_holdings")),
    )
    op.create_index(op.f("ix_holdings_content_id"), "holdings", ["content_id"], unique=False)
    op.create_table(
        "platforms",
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("arch", sa.String(length=40), nullable=False),
        sa.Column("packages", sa.Integer(), nullable=False),
        sa.Column("unknowns", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"], ["documents.id"], name=op.f("fk_platforms_content_id")
        ),
        sa.PrimaryKeyConstraint("content_id", name=op.f("pk_platforms")),
    )
    op.create_index(op.f("ix_platforms_id"), "platforms", ["id"], unique=False)


def _groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("image", sa.String(length=63), nullable=False),
        sa.Column("channel", sa.String(length=63), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("rotation", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
    )
    op.create_index(op.f("ix_groups_image"), "groups", ["image"], unique=False)
    op.create_table(
        "group_versions",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_versions_group_id")
        ),
        sa.PrimaryKeyConstraint("group_id", "version", name=op.f("pk_group_versions")),
    )
    op.create_table(
        "windows",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_windows")),
        sa.UniqueConstraint("name", name=op.f("uq_windows_name")),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("asked", sa.String(length=27), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("decided", sa.String(length=27), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_subject"), "approvals", ["subject"], unique=False)


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("current_id", sa.Integer(), nullable=True),
        sa.Column("staged_id", sa.Integer(), nullable=True),
        sa.Column("desired_id", sa.Integer(), nullable=True),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("changed", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["current_id"], ["generations.id"], name=op.f("fk_instances_current_id")
        ),
        sa.ForeignKeyConstraint(
            ["desired_id"], ["generations.id"], name=op.f("fk_instances_desired_id")
        ),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_instances_group_id")),
        sa.ForeignKeyConstraint(
            ["staged_id"], ["generations.id"], name=op.f("fk_instances_staged_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("group_id", "name", name=op.f("uq_instances_group_id_name")),
    )
    op.create_index(op.f("ix_instances_current_id"), "instances", ["current_id"], unique=False)
    op.create_index(op.f("ix_instances_desired_id"), "instances", ["desired_id"], unique=False)
    op.create_index(op.f("ix_instances_staged_id"), "instances", ["staged_id"], unique=False)


def _work() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.String(length=27), nullable=True),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.Column("changed", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("key", name=op.f("uq_jobs_key")),
    )
    op.create_index(op.f("ix_jobs_state_kind"), "jobs", ["state", "kind"], unique=False)
    op.create_index(op.f("ix_jobs_subject"), "jobs", ["subject"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"], unique=False)
    op.create_index(op.f("ix_events_subject"), "events", ["subject"], unique=False)
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _blobs() -> None:
    op.create_table(
        "packs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("claim", sa.String(length=200), nullable=False),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packs")),
        sa.UniqueConstraint("digest", name=op.f("uq_packs_digest")),
    )
    op.create_table(
        "pieces",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pack_id", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"], name=op.f("fk_pieces_pack_id")),
        sa.PrimaryKeyConstraint("digest", "pack_id", name=op.f("pk_pieces")),
    )
    op.create_index(op.f("ix_pieces_pack_id"), "pieces", ["pack_id"], unique=False)
    op.create_table(
        "maps",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("piece", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_maps")),
    )
    op.create_table(
        "map_packs",
        sa.Column("map", sa.String(length=80), nullable=False),
        sa.Column("pack_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["map"], ["maps.digest"], name=op.f("fk_map_packs_map")),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"], name=op.f("fk_map_packs_pack_id")),
        sa.PrimaryKeyConstraint("map", "pack_id", name=op.f("pk_map_packs")),
    )
    op.create_index(op.f("ix_map_packs_pack_id"), "map_packs", ["pack_id"], unique=False)
