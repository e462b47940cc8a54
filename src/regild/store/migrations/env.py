"""Alembic's door: it gets the open connection from `regild.store.catalogue`, never an address."""

from alembic import context

from regild.store.schema import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables,
    transactional_ddl=False,  # the connection's own transaction holds every step
)
context.run_migrations()
