"""A calendar as others see it: merged digits, and events with as much as rights and the private flag leave of them."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kalends_sandbox.exchange.soap import Refusal, flag, leaf
from kalends_sandbox.item import Item, ShowAs
from kalends_sandbox.mailbox import Mailbox, Rights

# Digits by weight, least first. 4 is documented as "no data"; servers since 2013 use it for WorkingElsewhere as well.
_DIGITS: Final[dict[ShowAs, str]] = {
    "Free": "0",
    "NoData": "4",
    "WorkingElsewhere": "4",
    "Tentative": "1",
    "Busy": "2",
    "OOF": "3",
}
_WEIGHTS: Final = {show_as: weight for weight, show_as in enumerate(_DIGITS)}


@dataclass(frozen=True, slots=True)
class Window:
    """The span that is asked for; `step` is what one merged digit stands for."""

    since: datetime
    until: datetime
    step: timedelta

    @property
    def steps(self) -> int:
        return -((self.since - self.until) // self.step)


def items(mailbox: Mailbox, window: Window) -> list[Item]:
    """What lies in the span, by start. Refused for a mailbox that has no calendar."""
    if mailbox.calendar is None:
        raise Refusal("ErrorFreeBusyGenerationFailed", f"Unable to read the calendar of {mailbox.primary}.")
    return mailbox.calendar.view(window.since, window.until)


def merged(items: Iterable[Item], window: Window) -> str:
    """One digit for each step: the weightiest of all that takes time in it."""
    found: list[ShowAs] = ["Free"] * window.steps
    for item in items:
        first = max(0, (item.start - window.since) // window.step)
        if item.end == item.start:
            continue
        beyond = min(window.steps, -((window.since - item.end) // window.step))
        for at in range(first, beyond):
            if _WEIGHTS[item.show_as] > _WEIGHTS[found[at]]:
                found[at] = item.show_as
    return "".join(_DIGITS[one] for one in found)


def event(item: Item, wall: Callable[[datetime], str], rights: Rights, is_detailed: bool) -> str:
    details = _details(item, rights) if is_detailed else ""
    return (
        f"<t:CalendarEvent>{leaf('StartTime', wall(item.start))}{leaf('EndTime', wall(item.end))}"
        f"{leaf('BusyType', item.show_as)}{details}</t:CalendarEvent>"
    )


def _details(item: Item, rights: Rights) -> str:
    """A private one keeps all to itself but that it is private. Only who may read the calendar gets ids."""
    is_private = item.sensitivity in ("Private", "Confidential")
    shown = ""
    if not is_private:
        shown = leaf("ID", _entry_id(item)) if rights == "Reviewer" else ""
        shown += leaf("Subject", item.subject or "") + leaf("Location", item.location or "")
    told = (
        ("IsMeeting", item.is_meeting),
        ("IsRecurring", item.master_id is not None),
        ("IsException", item.is_exception),
        ("IsReminderSet", False),
    )
    flags = "".join(flag(name, value and not is_private) for name, value in told)
    return f"<t:CalendarEventDetails>{shown}{flags}{flag('IsPrivate', is_private)}</t:CalendarEventDetails>"


def _entry_id(item: Item) -> str:
    """In hex, as ConvertId calls it HexEntryId."""
    return base64.b64decode(item.item_id.removeprefix("AAMk")).hex().upper()
