"""The simulation's command line: one virtual hour, or one with dying workers, for one seed or many.

Progress goes to standard error, one JSON line per seed to standard output. Exit codes: 0 every law held, 1 one was broken
or the run itself failed (the line says which seed, what and why), 2 wrong usage.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import click

from kalends_sim.hour import Script, play

_MOST_SEEDS = 100_000


class Seeds(click.ParamType[range]):
    """`A..B`, both included."""

    name = "A..B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        first, dots, last = str(value).partition("..")
        if not (dots and first.isdigit() and last.isdigit() and int(first) <= int(last)):
            self.fail(f"{value!r} is no range of seeds: write two numbers with two dots, such as 1..60.", param, ctx)
        if int(last) - int(first) >= _MOST_SEEDS:
            self.fail(f"More than {_MOST_SEEDS:,} seeds at once: ask for fewer.", param, ctx)
        return range(int(first), int(last) + 1)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="One run is one seed."),
        click.option("--seeds", type=Seeds(), help="Many runs, one after the other; instead of --seed."),
        click.option(
            "--minutes",
            type=click.FloatRange(0.1, 1440),
            default=60,
            show_default=True,
            help="Of virtual time, before the calm.",
        ),
        click.option("--json", "only_json", is_flag=True, help="Say nothing on standard error."),
        click.option(
            "--trace",
            is_flag=True,
            help="Print every step and delivery on standard error, to find where two runs part.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def main() -> None:
    """The whole of Kalends under virtual time: the shipped code, a simulated Exchange, and everything that can go wrong."""


@main.command()
@_options
def hour(seed: int, seeds: range | None, minutes: float, only_json: bool, trace: bool) -> None:
    """One virtual hour of people's changes and every trouble; in the end the store must equal the truth."""
    _play_all(seeds or range(seed, seed + 1), Script(minutes), only_json, trace)


@main.command()
@_options
@click.option(
    "--workers", type=click.IntRange(1, 8), default=1, show_default=True, help="Worker processes over one store."
)
def kill(seed: int, seeds: range | None, minutes: float, only_json: bool, trace: bool, workers: int) -> None:
    """The same hour while worker processes are killed at any step, started again, or stalled past their leases."""
    _play_all(seeds or range(seed, seed + 1), Script(minutes, workers, is_deadly=True), only_json, trace)


def _play_all(seeds: range, script: Script, only_json: bool, trace: bool) -> None:
    failed = [seed for seed in seeds if not _play(seed, script, only_json, trace)]
    if len(seeds) > 1:
        click.echo(f"{len(seeds) - len(failed)} of {len(seeds)} seeds hold.", err=True)
    if failed:
        click.echo(f"Broken: seed {', '.join(map(str, failed))}.", err=True)
        sys.exit(1)


def _play(seed: int, script: Script, only_json: bool, trace: bool) -> bool:
    """Whether every law held. Prints the seed's line."""

    def tell(line: str) -> None:
        if not only_json:
            click.echo(f"seed {seed}: {line}", err=True)

    try:
        outcome = play(seed, script, tell, (lambda line: click.echo(line, err=True)) if trace else None)
    except Exception as error:  # noqa: BLE001  # a run that fails is a finding, and the next seed is still to come
        notes = " ".join(getattr(error, "__notes__", ()))
        click.echo(json.dumps({"seed": seed, "broken": [f"{type(error).__name__}: {error} {notes}"]}))
        return False
    whole = replace(outcome, virtual_seconds=round(outcome.virtual_seconds, 3))
    found = {"seed": seed, **asdict(outcome.result), "steps": whole.steps, "virtual_seconds": whole.virtual_seconds}
    click.echo(json.dumps({**found, "trace": outcome.trace}))
    for sentence in outcome.result.broken:
        click.echo(f"seed {seed}: {sentence}", err=True)
    return not outcome.result.broken
