"""Worlds for measuring: as many rooms as wanted, in lists of a hundred, with as much in their calendars as is asked for."""

from dataclasses import dataclass

USER, PASSWORD = "HALDEN\\svc-bench", "measured-in-here"
DOMAIN = "bench.example"
LIST_SIZE = 100


@dataclass(frozen=True, slots=True)
class World:
    rooms: int
    daily_series: int = 0
    """Per room: series of one occurrence each day, as far as the hub looks ahead."""
    singles: int = 1
    """Per room: meetings that are going on all of today, so that a change to them is seen on a panel at once."""

    def toml(self) -> str:
        buildings = "".join(f'[[buildings]]\nname = "B{number}"\n\n' for number in range(self._lists))
        return _HEAD + buildings + "".join(self._room(number) for number in range(self.rooms))

    @property
    def _lists(self) -> int:
        return -(-self.rooms // LIST_SIZE)

    def _room(self, number: int) -> str:
        name = f"Room {number:04}"
        text = f'[[rooms]]\nname = "{name}"\nbuilding = "B{number // LIST_SIZE}"\naddress = "{address(number)}"\n\n'
        for _ in range(self.singles):
            text += f'[[meetings]]\nsubject = "Start"\norganizer = "{name}"\nall_day = true\ndays = 2\n\n'
        for hour in range(self.daily_series):
            text += (
                f'[[meetings]]\nsubject = "Series {hour}"\norganizer = "{name}"\nat = "{hour % 24:02}:00"\nminutes = 30\n'
                'series = { pattern = "daily", every = 1, since = -10 }\n\n'
            )
        return text


def address(number: int) -> str:
    return f"room{number:04}@{DOMAIN}"


_HEAD = f"""
[organization]
name = "Bench"
domain = "{DOMAIN}"
zone = "UTC"

[[accounts]]
user = '{USER}'
password = "{PASSWORD}"
impersonates = ["*"]

"""
