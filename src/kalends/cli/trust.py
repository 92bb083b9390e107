"""`kalends accounts trust`: switches the check of the server's certificate off, with the host name typed, and on again."""

from typing import TYPE_CHECKING

import click

from kalends.cli.account import named, try_again
from kalends.cli.addresses import in_use
from kalends.cli.removal import typed
from kalends.cli.session import fail, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub


@click.command()
@click.argument("name")
@click.option("--unverified", is_flag=True, help="Accept any certificate of its server: the last resort, after --pin.")
@click.option("--verified", is_flag=True, help="Check the certificate again.")
@click.option("--confirm", metavar="HOST", help="The server's host name once more, for scripts; else it is asked for.")
@json_option
@click.pass_context
def trust(ctx: click.Context, name: str, unverified: bool, verified: bool, confirm: str | None, as_json: bool) -> None:
    """Say whether the certificate of an account's server is checked. Better than not: kalends accounts change NAME --pin."""
    if unverified == verified:
        fail(2, "Give one of --unverified and --verified.")

    async def work(hub: "Hub") -> None:
        from urllib.parse import urlsplit

        from kalends.store import accounts as rows

        account = await named(hub, name)
        host = urlsplit(in_use(account.settings)).hostname or ""
        if unverified:
            click.echo(
                f"Then anybody between here and {host} can pose as it and misuse the account's sign-in.", err=True
            )
            typed(host, confirm, f"Type the server's name ({host}) to go on")
        now = hub.clock.now()
        await hub.store.run(rows.trust, account.id, host if unverified else None, now, actor="cli")
        await hub.store.run(try_again, account.id, now)
        done = "is no longer verified" if unverified else "is verified again"
        say({"account": name, "host": host, "verified": verified}, as_json, f"The certificate of {host} {done}.")

    with_hub(ctx, work)
