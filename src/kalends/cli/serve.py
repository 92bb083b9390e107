"""`kalends serve`."""

import os

import click

from kalends.cli.session import configuration, fail, run


@click.command()
@click.option(
    "--role",
    type=click.Choice(["all", "web", "worker"]),
    default="all",
    show_default=True,
    help="Web and worker in one process, or one of them (PostgreSQL only).",
)
@click.pass_context
def serve(ctx: click.Context, role: str) -> None:
    """Run Kalends until SIGTERM or Ctrl-C."""
    from kalends import logs
    from kalends.config import EXIT_CONFIG

    config = configuration(ctx)
    if role != "all" and config.url.startswith("sqlite"):
        fail(
            EXIT_CONFIG, "Web and worker in separate processes need PostgreSQL: set KALENDS_DATABASE_URL=postgresql://…"
        )

    def ready(url: str) -> None:
        click.echo(f"Kalends is ready{f' at {url}' if url else ''}.", err=True)

    async def main() -> None:
        import structlog

        from kalends.app import open_hub
        from kalends.config import misspelt
        from kalends.first_start import ADMIN, ensure_admin
        from kalends.serving import serve as serve_hub

        logs.configure(config.log_format, config.log_level)
        for sentence in misspelt(os.environ):
            structlog.get_logger("kalends").warning("configuration", reason=sentence)
        async with open_hub(config, exclusive=True) as hub:
            password = await ensure_admin(hub) if role != "worker" else None
            if password is not None:
                click.echo(f"First start: sign in as {ADMIN} with {password} (shown only now).", err=True)
            await serve_hub(hub, role, ready)

    run(main, uvloop=True)
