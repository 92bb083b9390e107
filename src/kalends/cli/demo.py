"""`kalends demo`."""

import json
import sys

import click

from kalends.cli.session import FAILED, fail, run


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--speed", type=click.FloatRange(1, 600), default=10.0, show_default=True, help="Demo seconds per second."
)
@click.option("--headless", is_flag=True, help="Do not tell the story on the console.")
@click.option("--check", is_flag=True, help="Prove the chain once, print what was measured as JSON, and end.")
def demo(port: int, speed: float, headless: bool, check: bool) -> None:
    """Show Kalends with a simulated Exchange Server: nothing to set up, nothing left behind."""
    from kalends import logs
    from kalends.demo import run as demonstration
    from kalends.demo.check import CheckFailed
    from kalends.demo.sandbox import SandboxFailed

    quiet = headless or check

    def welcome(to: demonstration.Welcome) -> None:
        if check:
            return
        click.echo(f"\n  Kalends is ready at  {to.url}\n  user      {to.user}\n  password  {to.password}\n")
        click.echo(
            f"  {to.rooms} rooms at a simulated Exchange; the demo's clock starts at {to.now:%A %H:%M} UTC", nl=False
        )
        click.echo(f" and runs {speed:g} times as fast as yours.\n  Ctrl-C ends it and leaves nothing behind.\n")
        sys.stdout.flush()

    def tell(line: str) -> None:
        if not quiet:
            click.echo(f"  · {line}")

    async def main() -> dict[str, object] | None:
        logs.configure("auto", "error")
        options = demonstration.Options(0 if check and port == 8080 else port, speed, headless, check)
        return await demonstration.run(options, welcome, tell)

    try:
        measured = run(main, uvloop=True)
    except (SandboxFailed, CheckFailed) as error:
        fail(FAILED, str(error))
    if measured is not None:
        click.echo(json.dumps(measured))
