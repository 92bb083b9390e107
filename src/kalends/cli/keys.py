"""`kalends keys`: change the key that seals credentials."""

from typing import TYPE_CHECKING

import click

from kalends.cli.session import configuration, dry_run_option, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub


@click.group()
def keys() -> None:
    """Rotate the key that seals credentials."""


@keys.command()
@dry_run_option
@json_option
@click.pass_context
def rotate(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Put a fresh key first into the key file and seal every credential, and the key of what meetings say, under it.

    The old key stays in the file behind the new one, so that older backups can still be opened. A running server on this
    machine finds the new one by itself. With several machines: stop their workers, rotate on one, copy the file, start them.
    """
    file = configuration(ctx).key_file

    async def work(hub: "Hub") -> None:
        from kalends.seal import new_key, open_seal, put_first
        from kalends.store import accounts, organizations

        if dry_run:
            sealed = len(await hub.store.read(accounts.list_all, hub.organization))
            say(
                {"accounts": sealed, "file": str(file)},
                as_json,
                f"Accounts that would be sealed under a new key in {file}: {sealed}.",
            )
            return
        put_first(file, new_key(hub.ids.noise))
        seal = open_seal(file, hub.ids.noise, may_create=False)
        count = await hub.store.run(accounts.rotate, seal, hub.clock.now(), actor="cli")
        await hub.store.run(organizations.rotate, seal, hub.clock.now(), actor="cli")
        say({"resealed": count, "file": str(file)}, as_json, f"Accounts sealed under the new key in {file}: {count}.")

    with_hub(ctx, work)
