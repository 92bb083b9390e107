"""Reads whole meetings by id, in small batches, so that one bad item never costs the others.

When a batch fails as a whole, or one of its items does, that item is asked for alone. If it fails alone as well while the
server answers for its bare id, the item is bad: it becomes Unreadable. If not even that works, the server is in trouble,
and the error is passed on.
"""

from collections.abc import Callable, Mapping, Sequence

from kalends.model.event import CalendarId, Event, ItemId, Unreadable, Version
from kalends.providers.exchange import codec, faults, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.codec import Series
from kalends.providers.exchange.faults import Broken, Message
from kalends.providers.exchange.soap import Element, Malformed
from kalends.providers.http import TooLarge
from kalends.providers.protocol import ProviderError, Rejected

Meeting = Event | Series | Unreadable | None
"""None: there is no such item any more."""
_TRIES_ALONE = 2
_POISON = (Broken, Malformed, TooLarge, Rejected)
"""What one bad item can do to a request; anything else is the server's or the account's trouble."""
_GONE = frozenset(
    {
        "ErrorItemNotFound",
        "ErrorCalendarOccurrenceIsDeletedFromRecurrence",
        "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange",
        "ErrorCalendarCannotUseIdForOccurrenceId",
        "ErrorCalendarCannotUseIdForRecurringMasterId",
    }
)


async def meetings(client: Client, calendar: CalendarId, wanted: Mapping[ItemId, Version]) -> dict[ItemId, Meeting]:
    """Each wanted item, by its id."""
    return await _all(client, calendar, wanted, requests.items)


async def details(client: Client, calendar: CalendarId, items: Sequence[ItemId]) -> dict[ItemId, Event]:
    """Each item that is there and can be read."""
    found = await meetings(client, calendar, dict.fromkeys(items, Version("")))
    told = {item: one.event if isinstance(one, Series) else one for item, one in found.items()}
    return {item: event for item, event in told.items() if isinstance(event, Event)}


async def masters(client: Client, calendar: CalendarId, instances: Mapping[ItemId, Version]) -> dict[ItemId, Meeting]:
    """The series of each instance, by the instance's id."""
    return await _all(client, calendar, instances, requests.masters)


_Request = Callable[[Sequence[ItemId]], Element]


async def _all(
    client: Client, calendar: CalendarId, wanted: Mapping[ItemId, Version], request: _Request
) -> dict[ItemId, Meeting]:
    found: dict[ItemId, Meeting] = {}
    ids = list(wanted)
    for start in range(0, len(ids), requests.BATCH):
        batch = ids[start : start + requests.BATCH]
        answered = await _batch(client, calendar, batch, request)
        for item in batch:
            message = answered.get(item)
            if message is None:
                found[item] = await _alone(client, calendar, item, wanted[item], request)
            else:
                found[item] = None if message.code in _GONE else codec.meeting(message.content)
    return found


async def _batch(
    client: Client, calendar: CalendarId, batch: Sequence[ItemId], request: _Request
) -> dict[ItemId, Message]:
    """The messages of those items that were answered for; without those that must be asked for alone."""
    try:
        messages = list(faults.messages(await client.call(request(batch), calendar)))
    except _POISON:
        return {}
    if len(messages) != len(batch):
        return {}
    return {item: one for item, one in zip(batch, messages, strict=True) if not _is_poisoned(one, calendar)}


def _is_poisoned(message: Message, calendar: CalendarId) -> bool:
    """Whether an item's answer is an error of this item. Raises when it is one of the server or the account."""
    if message.ok or message.code in _GONE:
        return False
    error = faults.error_of(message, calendar)
    if not isinstance(error, _POISON):
        raise error
    return True


async def _alone(client: Client, calendar: CalendarId, item: ItemId, version: Version, request: _Request) -> Meeting:
    failure: ProviderError | None = None
    for _ in range(_TRIES_ALONE):
        try:
            message = next(faults.messages(await client.call(request([item]), calendar)), None)
            if message is None:
                raise Malformed("Exchange answered without a response message.")
            if message.code in _GONE:
                return None
            if not _is_poisoned(message, calendar):
                return codec.meeting(message.content)
            failure = faults.error_of(message, calendar)
        except _POISON as error:
            failure = error
    await client.call(requests.probe(item), calendar)  # raises when the trouble is not the item's
    return Unreadable(item, version, f"Exchange gives its id but not its content. {failure}")
