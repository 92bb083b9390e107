"""`kalends users`: who may sign in, and tokens for scripts."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from kalends.cli.session import CONFLICT, NOT_FOUND, fail, json_option, say, show, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub

SHORTEST = 15


@click.group()
def users() -> None:
    """Who may sign in; tokens for scripts."""


@users.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_context
def add(ctx: click.Context, name: str, password_stdin: bool) -> None:
    """Add an admin."""
    password = _password(password_stdin)

    async def work(hub: "Hub") -> None:
        from kalends.features.access import password_hash
        from kalends.store import access

        if await hub.store.read(access.user_by_name, name) is not None:
            fail(CONFLICT, f"There is a user “{name}” already. A new password: kalends users password {name}")
        hashed = password_hash(password, hub.ids)
        args = (hub.ids.new("usr"), hub.organization, name, hashed, "admin", hub.clock.now())
        await hub.store.run(access.add_user, *args, actor="cli")
        click.echo(f"{name} may sign in at {hub.base_url}", err=True)

    with_hub(ctx, work)


@users.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_context
def password(ctx: click.Context, name: str, password_stdin: bool) -> None:
    """Give a user a new password. Every session of theirs ends."""
    new = _password(password_stdin)

    async def work(hub: "Hub") -> None:
        from kalends.features.access import password_hash
        from kalends.store import access

        user = await hub.store.read(access.user_by_name, name)
        if user is None:
            fail(NOT_FOUND, f"There is no user “{name}”. kalends users list shows all.")
        await hub.store.run(access.set_password, user.id, password_hash(new, hub.ids), hub.clock.now(), actor="cli")
        click.echo(f"{name} has a new password and is signed out everywhere.", err=True)

    with_hub(ctx, work)


@users.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every user."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access

        found = await hub.store.read(access.list_users, hub.organization)
        rows = [{"name": u.name, "role": u.role, "since": u.created_at.isoformat(timespec="minutes")} for u in found]
        show(rows, as_json, "There are no users yet. Add the first: kalends users add NAME")

    with_hub(ctx, work)


@users.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it works; without it until it is revoked.")
@json_option
@click.pass_context
def token(ctx: click.Context, name: str, days: int | None, as_json: bool) -> None:
    """Make a token with which a script may read the API. It is shown once."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access

        secret, now = f"kal_{hub.ids.secret()}", hub.clock.now()
        expires = now + timedelta(days=days) if days else None
        args = (hub.ids.new("tok"), hub.organization, name, secret, now)
        await hub.store.run(access.add_token, *args, actor="cli", expires_at=expires)
        say({"name": name, "token": secret}, as_json, secret)

    with_hub(ctx, work)


@users.command()
@json_option
@click.pass_context
def tokens(ctx: click.Context, as_json: bool) -> None:
    """Every token, when it was last used and when it ends."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access

        found = await hub.store.read(access.list_tokens, hub.organization)
        rows = [
            {"id": t.id, "name": t.name, "since": t.created_at, "used": t.seen_at, "expires": t.expires_at,
             "revoked": t.revoked_at}
            for t in found
        ]  # fmt: skip
        show(rows, as_json, "There are no tokens.")

    with_hub(ctx, work)


@users.command("revoke-token")
@click.argument("token_id")
@click.pass_context
def revoke_token(ctx: click.Context, token_id: str) -> None:
    """Shut a token out, at once."""

    async def work(hub: "Hub") -> None:
        from kalends.store import access

        if not await hub.store.run(access.revoke_token, token_id, hub.clock.now(), actor="cli"):
            fail(NOT_FOUND, f"There is no token {token_id} that still works. kalends users tokens shows all.")
        click.echo(f"{token_id} is shut out.", err=True)

    with_hub(ctx, work)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        given = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        fail(2, "No password: give it with --password-stdin, or run this in a terminal to be asked.")
    if not SHORTEST <= len(given) <= 256:
        fail(2, f"A password has {SHORTEST} to 256 characters; a sentence is easiest to remember.")
    return given
