"""`python -m bench [NAME …] [--quick] [--json]`."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable

import uvloop

from bench.figures import Figure, Tell, tell

MEASUREMENTS = (
    "start",
    "initial_sync",
    "change_to_panel",
    "no_change",
    "memory",
    "due_table",
    "ews_read",
    "sync_beside",
)
"""Each is a module with `measure(quick, tell)`."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures Kalends. README.md says what the figures mean."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(MEASUREMENTS)} (all by default)")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it works, not how fast it is")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON lines")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    say: Tell = (lambda line: None) if chosen.json else tell
    for name in chosen.names or MEASUREMENTS:
        say(f"— {name}")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `kalends serve` runs
            runner.run(_print(importlib.import_module(f"bench.{name}").measure, chosen.quick, say))
    return 0


async def _print(measure: Callable[[bool, Tell], AsyncIterator[Figure]], quick: bool, say: Tell) -> None:
    async for figure in measure(quick, say):
        print(figure.line(quick), flush=True)


if __name__ == "__main__":
    sys.exit(main())
