"""From "these rooms exist over there" to linked spaces: discovery, adding one by hand, and grouping for streams.

Nothing is linked twice, and every address that can't be linked is refused with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kalends.clock import Clock
from kalends.ids import Ids
from kalends.providers.protocol import CalendarGone, Directory, Provider, RemoteCalendar
from kalends.store import calendars, due, spaces
from kalends.store.accounts import Account
from kalends.store.door import Connection, Store
from kalends.store.spaces import Space
from kalends.sync import grouping

MOST_ROOMS = 20_000


class Result(StrEnum):
    LINKED = "linked"
    ALREADY = "already linked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of one address. `reason` says why it was refused."""

    address: str
    name: str
    result: Result
    building: str = ""
    reason: str = ""


async def rooms_of(provider: Provider) -> list[RemoteCalendar]:
    """Every room the account can discover, each once."""
    found: dict[str, RemoteCalendar] = {}
    async for calendar in provider.calendars():
        if calendar.is_room:
            found.setdefault(calendar.address, calendar)
        if len(found) >= MOST_ROOMS:
            break
    return list(found.values())


async def resolved(provider: Provider, addresses: Sequence[str]) -> tuple[list[RemoteCalendar], list[Linked]]:
    """Each address as its mailbox's primary address, or refused with the reason."""
    assert isinstance(provider, Directory), "every provider with rooms can resolve"
    good: list[RemoteCalendar] = []
    refused: list[Linked] = []
    for address in addresses:
        try:
            good.append(await provider.resolve(address))
        except CalendarGone as error:
            refused.append(Linked(address, "", Result.REFUSED, reason=str(error)))
    return good, refused


@dataclass(frozen=True)
class Linker:
    """Makes a space and a calendar of what was found, links them, and lets the worker know."""

    store: Store
    clock: Clock
    ids: Ids
    account: Account
    provider: Provider
    zone: str
    actor: str

    async def link(self, found: Sequence[RemoteCalendar], dry_run: bool = False) -> list[Linked]:
        """One transaction for all; a second run changes nothing."""
        if dry_run:
            return await self.store.read(self._judge, found)
        return await self.store.run(self._link, found)

    def _judge(self, conn: Connection, found: Sequence[RemoteCalendar]) -> list[Linked]:
        return [self._linked(remote, self._is_known(conn, remote)) for remote in found]

    def _is_known(self, conn: Connection, remote: RemoteCalendar) -> bool:
        known = calendars.by_address(conn, self.account.id, remote.address)
        return known is not None and bool(spaces.of_calendar(conn, known.id))

    def _link(self, conn: Connection, found: Sequence[RemoteCalendar]) -> list[Linked]:
        results, now = [], self.clock.now()
        for remote in found:
            was_known = self._is_known(conn, remote)
            if not was_known:
                self._add(conn, remote)
            results.append(self._linked(remote, was_known))
        grouping.group(conn, self.account.id, self.provider, now)
        return results

    def _add(self, conn: Connection, remote: RemoteCalendar) -> None:
        now, organization = self.clock.now(), self.account.organization
        calendar = calendars.by_address(conn, self.account.id, remote.address)
        calendar_id = calendar.id if calendar else self.ids.new("cal")
        if calendar is None:
            calendars.add(conn, calendar_id, organization, self.account.id, remote.address, remote.name, now)
        space_id = self.ids.new("spc")
        spaces.add(
            conn,
            space_id,
            organization,
            remote.name,
            now,
            actor=self.actor,
            building=remote.building or "",
            zone=self.zone,
        )
        spaces.link(conn, space_id, calendar_id, 0, now, actor=self.actor)
        due.ensure(conn, "pull", [calendar_id], now, lane=due.NEWS)

    def _linked(self, remote: RemoteCalendar, was_known: bool) -> Linked:
        result = Result.ALREADY if was_known else Result.LINKED
        return Linked(remote.address, remote.name, result, remote.building or "")


def take_away(conn: Connection, space: Space, now: datetime, actor: str) -> list[str]:
    """The space is gone, and so are the calendars that no other space shows; returns their addresses.

    What stands at the calendar system is left alone.
    """
    spaces.remove(conn, space.id, now, actor=actor)
    unused = [id_ for id_ in space.calendars if not spaces.of_calendar(conn, id_)]
    gone = [found for id_ in unused if (found := calendars.get(conn, id_)) is not None]
    for calendar in gone:
        calendars.remove(conn, calendar.id, now, actor=actor)
    due.wake(conn, "stream", sorted({calendar.stream for calendar in gone if calendar.stream}), now)
    return [calendar.address for calendar in gone]
