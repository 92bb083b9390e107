"""Finds calendars: the rooms of all room lists, and any mailbox by one of its addresses."""

import re
from collections.abc import AsyncGenerator, Iterator

from kalends.model.event import CalendarId
from kalends.providers.exchange import faults, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.soap import Element, M, T
from kalends.providers.protocol import CalendarGone, RemoteCalendar, Unavailable

_MOST_LISTS = 1000
_MOST_ROOMS = 1000
"""In one list; Exchange itself allows 100 to be found."""
_ADDRESS = re.compile(r"[^\s@<>\"'\x00-\x1f\x7f]{1,64}@[^\s@<>\"'\x00-\x1f\x7f]{1,253}")
_NO_MAILBOX = frozenset({"PublicDL", "PrivateDL", "Contact", "PublicFolder", "GroupMailbox"})


async def room_lists(client: Client) -> list[tuple[str, str]]:
    """Name and address of each room list."""
    response = await client.call(requests.room_lists())
    content = faults.only(response, None)
    found = content.iterfind(f"{M}RoomLists/{T}Address")
    return [(name, address) for name, address in (_named(each) for each in found) if address][:_MOST_LISTS]


async def rooms(client: Client) -> AsyncGenerator[RemoteCalendar, None]:
    """Every room of every list, once. A list that vanished meanwhile is passed over."""
    seen: set[str] = set()
    for building, address in await room_lists(client):
        response = await client.call(requests.rooms(address))
        message = next(faults.messages(response), None)
        if message is not None and message.code == "ErrorNameResolutionNoResults":
            continue
        content = faults.only(response, None)
        for each in list(content.iterfind(f"{M}Rooms/{T}Room/{T}Id"))[:_MOST_ROOMS]:
            name, room = _named(each)
            if room and room not in seen:
                seen.add(room)
                yield RemoteCalendar(CalendarId(room), name or room, is_room=True, building=building or None)


async def resolve(client: Client, address: str) -> RemoteCalendar:
    """See `protocol.Directory`. An address hidden from the directory is tried as it stands."""
    wanted = address.strip().lower()
    if not _ADDRESS.fullmatch(wanted):
        raise CalendarGone(f"“{_printable(address)}” is not a mail address. Enter one such as room@example.com.")
    response = await client.call(requests.resolve(wanted))
    message = next(faults.messages(response), None)
    if message is None:
        raise Unavailable("Exchange answered without a response message. If this repeats, look at its log.")
    if message.code == "ErrorNameResolutionNoResults":
        found = RemoteCalendar(CalendarId(wanted), wanted)
    else:
        found = _chosen(faults.only(response, CalendarId(wanted)), wanted)
    await probe(client, found.address)
    return found


async def probe(client: Client, calendar: CalendarId) -> None:
    """Raises CalendarGone with the reason when this calendar can't be opened."""
    faults.only(await client.call(requests.folder(calendar), calendar), calendar)


def _chosen(content: Element, wanted: str) -> RemoteCalendar:
    """The mailbox whose address this is, among what the directory offers."""
    offered = list(content.iterfind(f"{M}ResolutionSet/{T}Resolution"))
    exact = [each for each in offered if wanted in _addresses(each)]
    one = exact[0] if exact else offered[0] if len(offered) == 1 else None
    mailbox = None if one is None else one.find(f"{T}Mailbox")
    if mailbox is None:
        raise CalendarGone(f"The directory offers {len(offered)} entries for {wanted}, none with exactly this address.")
    if mailbox.findtext(f"{T}MailboxType") in _NO_MAILBOX:
        raise CalendarGone(f"{wanted} is no mailbox but a {mailbox.findtext(f'{T}MailboxType')}, and has no calendar.")
    name, primary = _named(mailbox)
    if "@" not in primary:
        raise CalendarGone(f"The directory knows {wanted} without a mail address of its own.")
    return RemoteCalendar(CalendarId(primary), name or primary)


def _addresses(resolution: Element) -> Iterator[str]:
    """All addresses of an entry, lower case; the directory writes them as `SMTP:primary` and `smtp:secondary`."""
    for path in (f"{T}Mailbox/{T}EmailAddress", f"{T}Contact/{T}EmailAddresses/{T}Entry"):
        for each in resolution.iterfind(path):
            yield (each.text or "").strip().lower().removeprefix("smtp:")


def _named(each: Element) -> tuple[str, str]:
    name = (each.findtext(f"{T}Name") or "").strip()[:200]
    return name, (each.findtext(f"{T}EmailAddress") or "").strip().lower()


def _printable(address: str) -> str:
    return "".join(char for char in address[:100] if char.isprintable())
