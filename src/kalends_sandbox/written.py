"""Tables as people write them, in TOML or JSON, read strictly: wrong or unknown keys are named, with what is possible.

Neighbours: worldfile.py (world files) and verbs.py (the control API's actions) read with it.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, TypeVar, cast, get_args

from kalends_sandbox.recurrence import (
    DAYS,
    MAX_INTERVAL,
    MONTHS,
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    DayOrGroup,
    Index,
    Pattern,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)
from kalends_sandbox.zones import IANA_BY_WINDOWS, Zone, zone

T = TypeVar("T")
PATTERNS = ("daily", "weekly", "monthly", "relative-monthly", "yearly", "relative-yearly")
_GROUPS = (*DAYS, "Day", "Weekday", "WeekendDay")


class Unreadable(ValueError):
    """What stands at `where` (a key, with its table) cannot be used; `why` says what would."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why = where, why


class Table:
    """Values by key. Each getter checks; `done` refuses what nobody asked for."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise Unreadable(where, "expected a table of keys and values.")
        self._values: Mapping[str, object] = values
        self._asked: set[str] = set()
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def refuse(self, key: str, why: str) -> Unreadable:
        return Unreadable(self.at(key), why)

    def done(self) -> None:
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, sorted(self._asked), 1)
                possible = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._asked))}."
                raise self.refuse(key, f"unknown key; {possible}")

    def know(self, *keys: str) -> None:
        """These keys are possible here, although this table may lack them."""
        self._asked.update(keys)

    def is_text(self, key: str) -> bool:
        return isinstance(self._values.get(key), str)

    def text(self, key: str, default: str | None = None) -> str:
        found: str = self._get(key, str, "text in quotes", default)
        if default is None and not found.strip():
            raise self.refuse(key, "must not be empty.")
        return found

    def optional_text(self, key: str, may_be_empty: bool = False) -> str | None:
        self._asked.add(key)
        return self.text(key, "" if may_be_empty else None) if key in self else None

    def number(self, key: str, default: int | None = None, least: int = 0, most: int = 1_000_000) -> int:
        found: int = self._get(key, int, "a whole number", default)
        if isinstance(found, bool) or not least <= found <= most:
            raise self.refuse(key, f"{found} is not a whole number from {least} to {most}.")
        return found

    def optional_number(self, key: str, least: int = 0, most: int = 1_000_000) -> int | None:
        self._asked.add(key)
        return self.number(key, None, least, most) if key in self else None

    def real(self, key: str, default: float | None = None, least: float = -1e10, most: float = 1e10) -> float:
        found: float = self._get(key, (int, float), "a number", default)
        if isinstance(found, bool) or not least <= found <= most:
            raise self.refuse(key, f"{found!r} is not a number from {least:g} to {most:g}.")
        return float(found)

    def plain(self, key: str) -> dict[str, str | int | float | bool | None]:
        """A table of single values, whatever its keys."""
        found: Mapping[str, object] = self._get(key, Mapping, "a table", {})
        for name, value in found.items():
            if not isinstance(value, str | int | float | bool | None):
                raise self.refuse(f"{key}.{name}", f"expected a single value, not {value!r}.")
        return dict(cast(Mapping[str, str | int | float | bool | None], found))

    def flag(self, key: str, default: bool) -> bool:
        found: bool = self._get(key, bool, "true or false", default)
        return found

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        found: str = self._get(key, str, f"one of {', '.join(options)}", default)
        if found not in options:
            raise self.refuse(key, f"{found!r} is not possible; choose one of {', '.join(options)}.")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._get(key, list, "a list of texts", [])
        if not all(isinstance(one, str) for one in found):
            raise self.refuse(key, "expected a list of texts, each in quotes.")
        return tuple(found)

    def optional_texts(self, key: str) -> tuple[str, ...] | None:
        self._asked.add(key)
        return self.texts(key) if key in self else None

    def choices(self, key: str, options: Sequence[str]) -> tuple[str, ...]:
        found = self.texts(key)
        for one in found:
            if one not in options:
                raise self.refuse(key, f"{one!r} is not possible; choose from {', '.join(options)}.")
        return found

    def numbers(
        self, key: str, default: Sequence[int] | None = None, least: int = 0, most: int = 1_000_000
    ) -> tuple[int, ...]:
        found = self._get(key, list, "a list of whole numbers", None if default is None else list(default))
        for one in found:
            if not isinstance(one, int) or isinstance(one, bool) or not least <= one <= most:
                raise self.refuse(key, f"{one!r} is not a whole number from {least} to {most}.")
        return tuple(found)

    def seconds(self, key: str, default: tuple[float, float]) -> tuple[float, float]:
        """Least and most of a span of seconds."""
        found = self._get(key, list, "two numbers, least and most", list(default))
        if len(found) != 2 or not all(isinstance(one, int | float) for one in found) or not 0 <= found[0] <= found[1]:
            raise self.refuse(key, "expected two numbers, least and most, such as [1, 6].")
        return float(found[0]), float(found[1])

    def clock_time(self, key: str, default: time | None = None) -> time:
        """A time of day, as "09:30" or TOML's 09:30:00."""
        found = self._get(key, (str, time), 'a time such as "09:30"', default)
        if isinstance(found, time):
            return found
        try:
            return time.fromisoformat(cast(str, found))
        except ValueError:
            raise self.refuse(key, f'{found!r} is not a time of day; write it like "09:30".') from None

    def instant(self, key: str, local: Zone, default: datetime | None = None) -> datetime:
        """A date and time; without an offset it is local time."""
        found = self._get(key, (str, datetime), "a date and time such as 2026-11-20T09:30", default)
        try:
            at = found if isinstance(found, datetime) else datetime.fromisoformat(cast(str, found))
        except ValueError:
            raise self.refuse(
                key, f"{found!r} is not a date and time; write it like 2026-11-20T09:30 or …T08:30Z."
            ) from None
        return at if at.tzinfo else at.replace(tzinfo=local.tz)

    def day(self, key: str, default: date | None = None) -> date:
        found = self._get(key, (str, date), "a date such as 2026-11-20", default)
        try:
            return found if isinstance(found, date) else date.fromisoformat(cast(str, found))
        except ValueError:
            raise self.refuse(key, f"{found!r} is not a date; write it like 2026-11-20.") from None

    def windows_zone(self, key: str, default: Zone | None = None) -> Zone:
        if default is not None and key not in self:
            self._asked.add(key)
            return default
        name = self.text(key)
        if name not in IANA_BY_WINDOWS:
            near = difflib.get_close_matches(name, list(IANA_BY_WINDOWS), 1)
            hint = f"did you mean {near[0]!r}?" if near else 'write it like "W. Europe Standard Time".'
            raise self.refuse(key, f"{name!r} is no Windows time zone; {hint}")
        return zone(name)

    def table(self, key: str) -> "Table":
        return Table(self._get(key, Mapping, "a table", {}), self.at(key))

    def tables(self, key: str) -> Iterator["Table"]:
        found = self._get(key, list, "a list of tables", [])
        return (Table(one, f"{self.at(key)}[{index}]") for index, one in enumerate(found, 1))

    def _get(self, key: str, kind: Any, expected: str, default: T | None) -> Any:
        self._asked.add(key)
        if key not in self._values:
            if default is None:
                raise self.refuse(key, f"is missing; give {expected}.")
            return default
        found = self._values[key]
        if not isinstance(found, kind):
            raise self.refuse(key, f"expected {expected}, not {found!r}.")
        return found


def pattern(table: Table) -> Pattern:
    """The six patterns: daily, weekly (days), monthly (day), relative-monthly (on, which), yearly and relative-yearly
    (month).
    """
    kind = table.choice("pattern", PATTERNS)
    if kind == "daily":
        return Daily(_interval(table))
    if kind == "weekly":
        days = table.choices("days", DAYS)
        if not days:
            raise table.refuse("days", 'a weekly series needs days, such as ["Monday", "Thursday"].')
        return Weekly(cast(Any, days), _interval(table), cast(Any, table.choice("first_day", DAYS, "Monday")))
    if kind == "monthly":
        return AbsoluteMonthly(table.number("day", None, 1, 31), _interval(table))
    if kind == "yearly":
        return AbsoluteYearly(table.number("day", None, 1, 31), _month(table))
    on = cast(DayOrGroup, table.choice("on", _GROUPS))
    which = cast(Index, table.choice("which", get_args(Index)))
    if kind == "relative-monthly":
        return RelativeMonthly(on, which, _interval(table))
    return RelativeYearly(on, which, _month(table))


def _interval(table: Table) -> int:
    return table.number("every", 1, 1, MAX_INTERVAL)


def _month(table: Table) -> int:
    return MONTHS.index(table.choice("month", MONTHS)) + 1
