"""`kalends config`: what is set, and where each value came from."""

import os

import click

from kalends.cli.session import configuration, json_option, say, show
from kalends.config import misspelt


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command("show")
@json_option
@click.pass_context
def show_(ctx: click.Context, as_json: bool) -> None:
    """Every setting with its value and source. Nothing secret is a setting."""
    from dataclasses import fields

    loaded = configuration(ctx)
    names = [field.name for field in fields(loaded) if field.name != "sources"]
    rows = [
        {"setting": name, "value": _plain(getattr(loaded, name)), "source": loaded.sources.get(name, "default")}
        for name in names
    ]
    show(rows, as_json, "")


def _plain(value: object) -> object:
    """A database address is shown without its password."""
    from urllib.parse import urlsplit, urlunsplit

    if isinstance(value, str) and "://" in value and "@" in value:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{host}"))
    return value if isinstance(value, int | float) else str(value or "")


@config.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Exit 0 when the configuration can be used, 78 with a sentence when not."""
    loaded = configuration(ctx)
    for sentence in misspelt(os.environ):
        click.echo(sentence, err=True)
    say({"ok": True, "database": str(_plain(loaded.url))}, as_json, "The configuration can be used.")
