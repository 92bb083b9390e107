"""The limits that may be turned while the server runs: which they are, what they are called and what they may be.

Neighbours: settings.py holds them, the control API shows and turns them.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from kalends_sandbox.exchange.settings import Settings

Value = str | int | float | bool | None

_ANSWERS: Final = ("fault", "busy", "503")
_LEAST: Final = {
    "concurrency": 0,
    "subscriptions_per_mailbox": 0,
    "ids_per_stream": 1,
    "rows_per_find": 1,
    "rows_per_search": 1,
    "availability_days": 1,
    "availability_mailboxes": 1,
    "availability_members": 0,
    "max_burst_ms": 0,
    "recharge_ms_per_hour": 1,
    "cutoff_ms": 0,
    "call_cost_ms": 0,
    "item_cost_ms": 0,
    "queued_events": 1,
}
_MOST: Final = 10**9
NAMES: Final = ("hanging_connections", "concurrency_answer", "budget", *_LEAST)


class LimitRefused(ValueError):
    """There is no such limit, or it cannot have that value; the text says which there are, or what it may be."""


def shown(settings: Settings) -> dict[str, object]:
    limits: dict[str, object] = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name in NAMES}
    return limits | {"hanging_connections": settings.streams_at_once}


def turn(settings: Settings, wanted: Mapping[str, Value]) -> None:
    """All of them, or none when one is refused."""
    for name, value in wanted.items():
        _check(name, value)
    for name, value in wanted.items():
        setattr(settings, name, value)


def _check(name: str, value: Value) -> None:
    if name == "concurrency_answer":
        if value not in _ANSWERS:
            raise LimitRefused(f"concurrency_answer is one of {', '.join(_ANSWERS)}, not {value!r}.")
    elif name == "budget":
        if not isinstance(value, bool):
            raise LimitRefused(f"budget is true or false, not {value!r}.")
    elif name == "hanging_connections":
        if value is not None:
            _check_number(name, value, 0)
    elif name in _LEAST:
        _check_number(name, value, _LEAST[name])
    else:
        raise LimitRefused(f"There is no limit called {name!r}. There are: {', '.join(NAMES)}.")


def _check_number(name: str, value: Value, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
        raise LimitRefused(f"{name} is a whole number from {least} to {_MOST}, not {value!r}.")
