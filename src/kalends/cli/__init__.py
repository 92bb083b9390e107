"""The command line: `kalends NOUN VERB`. Data goes to stdout, talk to stderr; `--json` prints JSON lines.

Exit codes: 0 done · 1 failed · 2 usage · 3 partly failed · 4 not found · 5 conflict · 6 sign-in needed ·
7 calendar system unreachable · 75 try later · 78 configuration · 130 Ctrl-C.

Each command lives in a module of its own that is imported only when it is called, so that `--help` stays quick.
"""

from importlib import import_module

import click

from kalends import __version__
from kalends.config import FILE_VARIABLE

_COMMANDS = {
    "serve": ("kalends.cli.serve", "serve", "Run web and worker in one process, or one of them."),
    "demo": ("kalends.cli.demo", "demo", "Show Kalends with a simulated Exchange: nothing to set up."),
    "accounts": ("kalends.cli.accounts", "accounts", "Connect calendar systems and check them."),
    "rooms": ("kalends.cli.rooms", "rooms", "Find rooms and link them to calendars."),
    "calendars": ("kalends.cli.calendars", "calendars", "See how fresh calendars are; pull or release one."),
    "panels": ("kalends.cli.panels", "panels", "Pair door panels and revoke them."),
    "users": ("kalends.cli.users", "users", "Who may sign in; tokens for scripts."),
    "db": ("kalends.cli.db", "db", "Bring the database's tables up to this version."),
    "config": ("kalends.cli.settings", "config", "Show and check the configuration."),
    "keys": ("kalends.cli.keys", "keys", "Rotate the key that seals credentials."),
    "doctor": ("kalends.cli.doctor", "doctor", "Check everything that can be checked, one line each."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean “{close[0]}”?" if close else ""
            raise click.UsageError(f"There is no command “{args[0]}”.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kalends")
@click.option("--config", "config_file", type=click.Path(dir_okay=False), envvar=FILE_VARIABLE, help="A TOML file.")
@click.pass_context
def kalends(ctx: click.Context, config_file: str | None) -> None:
    """Keeps rooms, people and phones in step with the calendars an organisation already has."""
    ctx.obj = config_file


def main() -> None:
    kalends(prog_name="kalends")
