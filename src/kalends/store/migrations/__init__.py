"""Alembic's folder: `env` meets Alembic, `versions` holds one file per change of the tables. Driven by `store.migrate`."""
