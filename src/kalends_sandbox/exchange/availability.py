"""GetUserAvailability: when people and rooms are free, as far as whoever asks may see it.

Neighbours: bias.py has the request's zone, in which all times of the answer are written; free_busy.py sums up and masks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from kalends_sandbox.exchange import bias, free_busy
from kalends_sandbox.exchange.bias import Bias
from kalends_sandbox.exchange.free_busy import Window
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Fault,
    Refusal,
    leaf,
    local,
    m,
    need,
    need_number,
    refusal_text,
    some,
    t,
    text_of,
    unreadable,
)
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.world import RoomList

_VIEWS: Final = ("None", "MergedOnly", "FreeBusy", "FreeBusyMerged", "Detailed", "DetailedMerged")
_ATTENDEE_TYPES: Final = ("Organizer", "Required", "Optional", "Room", "Resource")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of every mailbox. `view` is one of `_VIEWS`, as far as rights go."""

    window: Window
    view: str
    zone: Bias | None  # None: the zone of the request's context, else UTC

    def wall(self, at: datetime, call: Call) -> str:
        """A wall time of the request's zone, which the answer writes without saying so."""
        if self.zone is not None:
            return self.zone.local(at).isoformat(timespec="seconds")
        return at.astimezone(call.zone.tz if call.zone is not None else UTC).strftime("%Y-%m-%dT%H:%M:%S")


def get_user_availability(site: Site, call: Call) -> str:
    addresses = [_address(one) for one in some(need(call.element, m("MailboxDataArray")))]
    most = site.settings.availability_mailboxes
    if len(addresses) > most:
        raise Fault(
            "ErrorMailboxDataArrayTooBig",
            f"There are too many target users in the EmailAddress array. The allowed size = {most}; the actual size = "
            f"{len(addresses)}.",
        )
    wish = _wish(site, call)
    site.budgets.charge(call.payer, len(addresses))
    inside = "".join(_response(site, call, wish, address) for address in addresses)
    return (
        f"<m:GetUserAvailabilityResponse><m:FreeBusyResponseArray>{inside}</m:FreeBusyResponseArray>"
        "</m:GetUserAvailabilityResponse>"
    )


def _address(data: Element) -> str:
    if local(data) != "MailboxData":
        raise unreadable(f"MailboxDataArray has no element {local(data)}")
    if text_of(need(data, t("AttendeeType"))) not in _ATTENDEE_TYPES:
        raise unreadable("AttendeeType is none of " + ", ".join(_ATTENDEE_TYPES))
    return text_of(need(need(data, t("Email")), t("Address")))


def _wish(site: Site, call: Call) -> Wish:
    if call.element.find(t("SuggestionsViewOptions")) is not None:
        raise Fault("ErrorInvalidRequest", "This server suggests no meeting times: ask for free/busy information only.")
    options = call.element.find(t("FreeBusyViewOptions"))
    if options is None:
        raise Fault("ErrorMissingArgument", "FreeBusyViewOptions says which time window is asked for; it is missing.")
    wanted = call.element.find(t("TimeZone"))
    zone = bias.read(wanted) if wanted is not None else None
    span = need(options, t("TimeWindow"))
    since, until = (_moment(text_of(need(span, t(name))), zone, call) for name in ("StartTime", "EndTime"))
    step = need_number(
        text_of(options.find(t("MergedFreeBusyIntervalInMinutes"))) or "30", "the interval", -(2**31), 2**31
    )
    return Wish(_window(site, since, until, step), _view(options), zone)


def _moment(text: str, zone: Bias | None, call: Call) -> datetime:
    """A wall time of the request's zone; one that brings an offset is taken at its word."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise unreadable(f"{text!r} is no dateTime") from None
    try:
        if found.tzinfo is None and zone is not None:
            return zone.instant(found)
        if found.tzinfo is None:
            found = found.replace(tzinfo=call.zone.tz if call.zone is not None else UTC)
        return found.astimezone(UTC)
    except OverflowError:
        raise unreadable(f"{text!r} is outside the calendar") from None


def _window(site: Site, since: datetime, until: datetime, step: int) -> Window:
    """Checked in Exchange's order: the span as such, its length, then the interval."""
    if until <= since:
        raise Fault(
            "ErrorInvalidTimeInterval", "The time duration specified for FreeBusyViewOptions.TimeWindow is invalid."
        )
    most, length = site.settings.availability_days, until - since
    if length > timedelta(days=most):
        days = -(-length // timedelta(days=1))
        raise Fault(
            "ErrorTimeIntervalTooBig",
            "The requested time duration specified for FreeBusyViewOptions.TimeWindow is too long. The allowed limit = "
            f"{most} days; the actual limit = {days} days.",
        )
    if not 5 <= step <= 1440 or timedelta(minutes=step) > length:
        raise Fault(
            "ErrorInvalidMergedFreeBusyInterval",
            "The specified merged free/busy interval is not valid. Specify an interval that is less than the free/busy "
            "time window and between 5 and 1440 minutes.",
        )
    return Window(since, until, timedelta(minutes=step))


def _view(options: Element) -> str:
    view = text_of(options.find(t("RequestedView"))) or "FreeBusy"
    if any(one not in _VIEWS for one in view.split()):
        raise unreadable(f"RequestedView is {view!r}")
    if view not in _VIEWS[1:]:  # the schema allows None and several at once; the service does not
        raise Fault("ErrorInvalidFreeBusyViewType", "The requested free/busy view is not valid.")
    return view


def _response(site: Site, call: Call, wish: Wish, address: str) -> str:
    try:
        view = _free_busy_view(site, call, wish, address)
    except Refusal as refusal:
        message = f'<m:ResponseMessage ResponseClass="Error">{refusal_text(refusal)}</m:ResponseMessage>'
        view = leaf("FreeBusyViewType", "None")
    else:
        message = (
            '<m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode></m:ResponseMessage>'
        )
    return f"<m:FreeBusyResponse>{message}<m:FreeBusyView>{view}</m:FreeBusyView></m:FreeBusyResponse>"


def _free_busy_view(site: Site, call: Call, wish: Wish, address: str) -> str:
    mailbox = site.world.mailbox(address)
    if mailbox is not None:
        return _of_mailbox(call, wish, mailbox)
    group = site.world.room_list(address)
    if group is not None:
        return _of_group(site, call, wish, group)
    raise Refusal(
        "ErrorMailRecipientNotFound",
        f"Unable to resolve e-mail address <>SMTP:{address} to an Active Directory object.",
    )


def _of_mailbox(call: Call, wish: Wish, mailbox: Mailbox) -> str:
    rights = call.reach.sight(mailbox)
    if rights == "None":
        raise Refusal("ErrorNoFreeBusyAccess", f"The caller has no access to free/busy data of {mailbox.primary}.")
    items = free_busy.items(mailbox, wish.window)
    view = wish.view.replace("Detailed", "FreeBusy") if rights == "AvailabilityOnly" else wish.view
    parts = [leaf("FreeBusyViewType", view)]
    if "Merged" in view:
        parts.append(leaf("MergedFreeBusy", free_busy.merged(items, wish.window)))
    if view != "MergedOnly":
        is_detailed = view.startswith("Detailed")
        events = "".join(free_busy.event(one, lambda at: wish.wall(at, call), rights, is_detailed) for one in items)
        parts.append(f"<t:CalendarEventArray>{events}</t:CalendarEventArray>" if events else "")
    parts.append(_working_hours(mailbox, wish.window.since))
    return "".join(parts)


def _of_group(site: Site, call: Call, wish: Wish, group: RoomList) -> str:
    """A distribution list is as busy as its busiest member; whose calendar cannot be seen does not count."""
    most = site.settings.availability_members
    if len(group.rooms) > most:
        raise Refusal(
            "ErrorFreeBusyDLLimitReached",
            f"The group has too many members for free/busy information. The allowed size = {most}; the actual size = "
            f"{len(group.rooms)}.",
        )
    seen = []
    for member in (site.world.mailbox(room) for room in group.rooms):
        if member is not None and member.calendar is not None and call.reach.sight(member) != "None":
            seen += free_busy.items(member, wish.window)
    return leaf("FreeBusyViewType", "MergedOnly") + leaf("MergedFreeBusy", free_busy.merged(seen, wish.window))


def _working_hours(mailbox: Mailbox, at: datetime) -> str:
    hours = mailbox.working_hours
    return (
        f"<t:WorkingHours>{bias.written(mailbox.zone, at.year)}<t:WorkingPeriodArray><t:WorkingPeriod>"
        f"{leaf('DayOfWeek', ' '.join(hours.days))}{leaf('StartTimeInMinutes', str(hours.start_minute))}"
        f"{leaf('EndTimeInMinutes', str(hours.end_minute))}</t:WorkingPeriod></t:WorkingPeriodArray></t:WorkingHours>"
    )
