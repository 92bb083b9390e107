"""Meeting messages as EWS writes them: requests, answers and cancellations. Neighbours: item_xml.py writes what they share."""

from collections.abc import Callable, Mapping
from typing import Final

from kalends_sandbox.exchange.item_xml import FIELDS, Field, Page, Writer, calendar_item, item_id, mailbox
from kalends_sandbox.exchange.soap import flag, leaf
from kalends_sandbox.item import Item, Letter, LetterKind, Party

_REQUEST: Final = "MeetingRequest"
_ELEMENTS: Final[Mapping[LetterKind, str]] = {
    "invitation": _REQUEST, "update": _REQUEST, "forwarded": _REQUEST, "cancellation": "MeetingCancellation",
    "acceptance": "MeetingResponse", "tentative": "MeetingResponse", "refusal": "MeetingResponse",
}  # fmt: skip
_CLASSES: Final[Mapping[LetterKind, str]] = {
    "invitation": "IPM.Schedule.Meeting.Request",
    "update": "IPM.Schedule.Meeting.Request",
    "forwarded": "IPM.Schedule.Meeting.Request",
    "cancellation": "IPM.Schedule.Meeting.Canceled",
    "acceptance": "IPM.Schedule.Meeting.Resp.Pos",
    "tentative": "IPM.Schedule.Meeting.Resp.Tent",
    "refusal": "IPM.Schedule.Meeting.Resp.Neg",
}
_ANSWERS: Final[Mapping[LetterKind, str]] = {"acceptance": "Accept", "tentative": "Tentative", "refusal": "Decline"}
# What only a request says of the meeting, beside start, end, place and pattern.
_OF_REQUESTS_ONLY: Final = frozenset(
    {
        *("OriginalStart", "IsAllDayEvent", "LegacyFreeBusyStatus", "IsMeeting", "IsCancelled", "IsRecurring"),
        *("MeetingRequestWasSent", "MyResponseType", "Organizer", "RequiredAttendees", "OptionalAttendees"),
        *("Resources", "Duration", "TimeZone", "AppointmentSequenceNumber", "AppointmentState", "FirstOccurrence"),
        *("LastOccurrence", "ModifiedOccurrences", "DeletedOccurrences", "StartTimeZone", "EndTimeZone"),
        *("AllowNewTimeProposal", "IsOnlineMeeting", "StartWallClock", "EndWallClock", "StartTimeZoneId"),
        "EndTimeZoneId",
    }
)
_OF_ALL: Final = frozenset({"Start", "End", "Location", "CalendarItemType"})


def element_name(item: Item) -> str:
    return "CalendarItem" if item.letter is None else _ELEMENTS[item.letter.kind]


def item_class(item: Item) -> str:
    """What MAPI calls a message of its kind; an appointment may have a class of its writer's own."""
    if item.letter is not None:
        return _CLASSES[item.letter.kind]
    return dict(item.further).get("ItemClass", "IPM.Appointment")


def any_item(item: Item, page: Page) -> str:
    """An item as what it is: a calendar item or a meeting message."""
    if item.letter is None:
        return calendar_item(item, page)
    name = element_name(item)
    wanted = page.shape.uris
    written = []
    for field in _REQUEST_FIELDS if name == _REQUEST else _OTHER_FIELDS:
        asked = bool(page.shape.extended) if field.uri == "" else wanted is None or field.uri in wanted
        if asked and not (page.is_list and field.is_long):
            written.append(field.write(item, page))
    return f"<t:{name}>{''.join(written)}</t:{name}>"


def _of(write: Callable[[Letter], str]) -> Writer:
    def written(item: Item, page: Page) -> str:
        assert item.letter is not None
        return write(item.letter)

    return written


def _to(letter: Letter) -> str:
    inside = "".join(mailbox(one.name, one.address) for one in letter.to)
    return f"<t:ToRecipients>{inside}</t:ToRecipients>"


def _party(name: str, of: Callable[[Letter], Party]) -> Writer:
    return _of(lambda letter: f"<t:{name}>{mailbox(of(letter).name, of(letter).address)}</t:{name}>")


def _associated(letter: Letter) -> str:
    if letter.calendar_item_id is None:
        return ""
    return item_id(letter.calendar_item_id, "AAAAAA==", "AssociatedCalendarItemId")


def _display_to(letter: Letter) -> str:
    return leaf("DisplayTo", "; ".join(one.name for one in letter.to))


def _request_type(letter: Letter) -> str:
    newest = "NewMeetingRequest" if letter.kind == "invitation" else "FullUpdate"
    return leaf("MeetingRequestType", "Outdated" if letter.is_outdated else newest)


def _intended(item: Item, page: Page) -> str:
    return leaf("IntendedFreeBusyStatus", item.show_as if item.show_as != "WorkingElsewhere" else "Busy")


def _response_type(letter: Letter) -> str:
    return leaf("ResponseType", _ANSWERS.get(letter.kind, "NoResponseReceived" if letter.to else "Unknown"))


_MESSAGE: Final = (
    Field("message:Sender", _party("Sender", lambda letter: letter.sender)),
    Field("message:ToRecipients", _of(_to), is_long=True),
    Field("message:IsReadReceiptRequested", lambda item, page: flag("IsReadReceiptRequested", False)),
    Field("message:IsDeliveryReceiptRequested", lambda item, page: flag("IsDeliveryReceiptRequested", False)),
    Field("message:From", _party("From", lambda letter: letter.sender)),
    Field("message:IsRead", _of(lambda letter: flag("IsRead", letter.is_read))),
    Field("message:IsResponseRequested", lambda item, page: flag("IsResponseRequested", item.wants_answers)),
    Field("meeting:AssociatedCalendarItemId", _of(_associated), is_long=True),
    Field("meeting:IsDelegated", lambda item, page: flag("IsDelegated", False)),
    Field("meeting:IsOutOfDate", _of(lambda letter: flag("IsOutOfDate", letter.is_outdated))),
    Field("meeting:HasBeenProcessed", _of(lambda letter: flag("HasBeenProcessed", letter.is_processed))),
    Field("meeting:ResponseType", _of(_response_type)),
)
_REQUEST_HEAD: Final = (
    Field("meetingRequest:MeetingRequestType", _of(_request_type)),
    Field("meetingRequest:IntendedFreeBusyStatus", _intended),
)
_MEETING_OWN: Final = frozenset({"UID", "RecurrenceId", "DateTimeStamp"})


def _fields(names: frozenset[str]) -> tuple[Field, ...]:
    return tuple(field for field in FIELDS if field.uri.startswith("calendar:") and field.uri[9:] in names)


_ITEM: Final = tuple(
    {
        "item:ItemClass": Field("item:ItemClass", _of(lambda letter: leaf("ItemClass", _CLASSES[letter.kind]))),
        "item:DisplayTo": Field("item:DisplayTo", _of(_display_to)),
        "item:DisplayCc": Field("item:DisplayCc", lambda item, page: leaf("DisplayCc", "")),
    }.get(field.uri, field)
    for field in FIELDS
    if not field.uri.startswith("calendar:")
)
_OTHER_FIELDS: Final = (
    *_ITEM, *_MESSAGE, *_fields(_MEETING_OWN), *_fields(_OF_ALL - {"CalendarItemType"}),
    *_fields(frozenset({"Recurrence"})), *_fields(frozenset({"CalendarItemType"})),
)  # fmt: skip
_REQUEST_FIELDS: Final = (
    *_ITEM, *_MESSAGE, *_fields(_MEETING_OWN), *_REQUEST_HEAD, *_fields(_OF_ALL | _OF_REQUESTS_ONLY | {"Recurrence"}),
)  # fmt: skip
