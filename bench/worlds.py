"""Worlds for measuring: as many rooms as wanted, in lists of a hundred, with as much in their calendars as is asked for."""

from dataclasses import dataclass

USER, PASSWORD = "HALDEN\\svc-bench", "measured-in-here"
DOMAIN = "bench.example"
LIST_SIZE = 100
PEOPLE = ("Ada Moreau", "Ben Okoro", "Cleo Varga", "Dai Evans", "Eva Lund")


@dataclass(frozen=True, slots=True)
class World:
    rooms: int
    half_year_series: int = 0
    """Per room: series of one meeting on each day of about half a year, so 199 events in the hub."""
    singles: int = 1
    """Per room: meetings that are going on all of today, so that a change to them is seen on a panel at once."""

    meetings: int = 0
    """Per room: single meetings of half an hour, ten a day from tomorrow on."""
    guests: int = len(PEOPLE)
    """Who is invited to each of them."""

    def toml(self) -> str:
        buildings = "".join(f'[[buildings]]\nname = "B{number}"\n\n' for number in range(self._lists))
        people = "".join(f'[[people]]\nname = "{name}"\n\n' for name in PEOPLE) if self.meetings else ""
        return _HEAD + buildings + people + "".join(self._room(number) for number in range(self.rooms))

    @property
    def _lists(self) -> int:
        return -(-self.rooms // LIST_SIZE)

    def _room(self, number: int) -> str:
        name = f"Room {number:04}"
        text = f'[[rooms]]\nname = "{name}"\nbuilding = "B{number // LIST_SIZE}"\naddress = "{address(number)}"\n\n'
        for _ in range(self.singles):
            text += f'[[meetings]]\nsubject = "Start"\norganizer = "{name}"\nall_day = true\ndays = 2\n\n'
        for hour in range(self.half_year_series):
            text += (
                f'[[meetings]]\nsubject = "Series {hour}"\norganizer = "{name}"\nat = "{hour % 24:02}:00"\nminutes = 30\n'
                'series = { pattern = "daily", every = 1, count = 198 }\n\n'
            )
        guests = ", ".join(f'"{one}"' for one in PEOPLE[: self.guests])
        for meeting in range(self.meetings):
            at = f"{8 + meeting % 10:02}:00"
            text += (
                f'[[meetings]]\nsubject = "Meeting {meeting}"\norganizer = "{name}"\nday = {1 + meeting // 10}\nat = "{at}"\n'
                f"minutes = 30\nrequired = [{guests}]\n\n"
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
