"""`kalends panels`: pair door panels and revoke them."""

from typing import TYPE_CHECKING

import click

from kalends.cli.session import NOT_FOUND, fail, json_option, say, show, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub


@click.group()
def panels() -> None:
    """Pair door panels and revoke them."""


@panels.command()
@click.argument("room")
@json_option
@click.pass_context
def pair(ctx: click.Context, room: str, as_json: bool) -> None:
    """Print a code that pairs one panel with a room (its id or name): it works once, for ten minutes."""

    async def work(hub: "Hub") -> None:
        from kalends.cli.rooms import named_room
        from kalends.features.access import Doorkeeper

        space = await named_room(hub, room)
        doorkeeper = Doorkeeper(hub.store, hub.clock, hub.ids, hub.organization)
        code = await doorkeeper.offer_pairing(space.id, space.name, "cli")
        url = f"{hub.base_url}/pair"
        say({"room": space.name, "code": code, "url": url}, as_json, f"Open {url} on the panel and enter {code}")

    with_hub(ctx, work)


@panels.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every panel, its room and when it was last seen."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access, spaces

        devices = await hub.store.read(access.list_devices, hub.organization)
        names = {space.id: space.name for space in await hub.store.read(spaces.list_all, hub.organization)}
        rows = [
            {"id": d.id, "room": names.get(d.space, d.space), "paired": d.is_paired, "seen": d.seen_at,
             "revoked": d.revoked_at}
            for d in devices
        ]  # fmt: skip
        show(rows, as_json, "There are no panels yet. Pair one: kalends panels pair ROOM")

    with_hub(ctx, work)


@panels.command()
@click.argument("panel")
@click.pass_context
def revoke(ctx: click.Context, panel: str) -> None:
    """Shut a panel out, at once."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access

        if not await hub.store.run(access.revoke_device, panel, hub.clock.now(), actor="cli"):
            fail(NOT_FOUND, f"There is no panel {panel} that still works. kalends panels list shows all.")
        click.echo(f"{panel} is shut out.", err=True)

    with_hub(ctx, work)
