"""Run by Alembic for each command: migrates on the connection that `store.migrate` hands over, in its transaction."""

from alembic import context

from kalends.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite can't alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
