"""`kalends db`: the schema of the database."""

import click

from kalends.cli.session import json_option, say, with_hub


@click.group()
def db() -> None:
    """The database's schema: upgrade, status."""


@db.command()
@json_option
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:
    """Bring the tables up to this version. `serve` does it too; run it first when several processes share a database."""
    _report(ctx, as_json)


@db.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Which revision the tables have, and which this version needs."""
    _report(ctx, as_json)


def _report(ctx: click.Context, as_json: bool) -> None:
    from kalends.app import Hub
    from kalends.store import migrate

    async def work(hub: Hub) -> None:
        found = await hub.store.read(migrate.status)
        say({**found._asdict(), "store": hub.store.where}, as_json, f"{hub.store.where}: schema {found}")

    with_hub(ctx, work)
