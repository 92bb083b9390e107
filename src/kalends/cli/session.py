"""What every command needs: the configuration, an open hub, output for people or machines, and honest exit codes."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from kalends.config import EXIT_CONFIG, Config, ConfigError, load

if TYPE_CHECKING:
    from kalends.store.door import StoreError

T = TypeVar("T")

FAILED, PARTLY, NOT_FOUND, CONFLICT, SIGN_IN, UNREACHABLE, LATER = 1, 3, 4, 5, 6, 7, 75

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")


def fail(code: int, sentence: str) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


def configuration(ctx: click.Context) -> Config:
    """The configuration, or exit 78 with the place and the fix."""
    file = ctx.find_root().obj
    try:
        return load(Path(file) if file else None, os.environ)
    except ConfigError as error:
        fail(EXIT_CONFIG, str(error))


def with_hub(ctx: click.Context, work: Callable[[Any], Awaitable[T]]) -> T:
    """Runs `work` with an open Hub; whatever the world does wrong becomes a sentence and an exit code."""
    config = configuration(ctx)

    async def opened() -> T:
        from kalends.app import open_hub

        async with open_hub(config) as hub:
            return await work(hub)

    return run(opened)


def run(work: Callable[[], Awaitable[T]], uvloop: bool = False) -> T:
    """`work` on an event loop; what the world does wrong becomes a sentence and an exit code."""
    from kalends import logs
    from kalends.providers.protocol import AuthLost, CalendarGone, ProviderError, Throttled
    from kalends.seal import SealError
    from kalends.store.door import StoreError

    logs.configure("auto", "error")

    async def main() -> T:
        try:
            return await work()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    try:
        with asyncio.Runner(loop_factory=_uvloop() if uvloop else None) as runner:
            return runner.run(main())
    except (ConfigError, SealError) as error:
        fail(EXIT_CONFIG, str(error))
    except StoreError as error:
        fail(_code_of(error), str(error))
    except AuthLost as error:
        fail(SIGN_IN, str(error))
    except CalendarGone as error:
        fail(NOT_FOUND, str(error))
    except Throttled as error:
        fail(LATER, str(error))
    except ProviderError as error:
        fail(UNREACHABLE, str(error))
    except KeyboardInterrupt:
        fail(130, "Stopped.")


def _code_of(error: "StoreError") -> int:
    """75 only for what may mend by itself: whoever starts Kalends again and again must not do so for nothing."""
    from kalends.store import door

    if isinstance(error, door.SchemaTooNew | door.StoreRefused | door.StoreReadOnly):
        return EXIT_CONFIG
    may_mend = isinstance(error, door.StoreLocked | door.StoreFull | door.StoreUnreachable)
    return LATER if may_mend else FAILED


def _first(error: BaseException) -> BaseException:
    """What ended a task group: its siblings were only cancelled, or say the same."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop, where there is one for this machine."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def show(rows: Iterable[Mapping[str, object]], as_json: bool, empty: str) -> None:
    """Rows as JSON lines, or as a table whose columns are the rows' keys."""
    listed = list(rows)
    if as_json:
        for row in listed:
            click.echo(json.dumps(row, default=str, ensure_ascii=False))
        return
    if not listed:
        click.echo(empty, err=True)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in listed[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in listed:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(highlight=False, markup=False).print(table)


def say(values: Mapping[str, object], as_json: bool, sentence: str) -> None:
    click.echo(json.dumps(values, default=str, ensure_ascii=False) if as_json else sentence)
