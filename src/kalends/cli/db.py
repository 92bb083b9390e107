"""`kalends db`: the tables of the database."""

import click

from kalends.cli.session import json_option, say, with_hub


@click.group()
def db() -> None:
    """Bring the database's tables up to this version."""


@db.command()
@json_option
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:
    """Bring the tables up to this version. `serve` does it too; run it first when several processes share a database."""
    from kalends.app import Hub
    from kalends.store import migrate

    async def work(hub: Hub) -> None:
        found = await hub.store.read(migrate.status)
        sentence = f"{hub.store.where}: the tables are at revision {found.current}, as this version needs."
        say({"store": hub.store.where, "revision": found.current}, as_json, sentence)

    with_hub(ctx, work)
