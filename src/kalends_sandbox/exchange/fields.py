"""The properties of a calendar item that clients may write, one by one: how each is read, emptied and appended to.

CreateItem takes all of them from one element, UpdateItem each from its own; drafting.py puts together what
was said. Neighbours: extended.py, series_read.py; item_xml.py writes the same properties.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from kalends_sandbox.exchange import series_read
from kalends_sandbox.exchange.soap import Element, Refusal, children, is_true, local, t, text_of, unreadable
from kalends_sandbox.item import Attendee, Html, Importance, Item, Role, Sensitivity, ShowAs
from kalends_sandbox.world import World, named
from kalends_sandbox.zones import IANA_BY_WINDOWS, UTC_ZONE, Zone, zone

Said = dict[str, Any]

_MAX_REMINDER_MINUTES: Final = 2_629_800  # Outlook's own limit, five years


Read = Callable[[Element, World], Said]


@dataclass(frozen=True, slots=True)
class Writable:
    """`emptied` is what DeleteItemField leaves; None where it cannot be deleted."""

    element: str
    read: Read
    emptied: Said | None
    append: Callable[[Item, Said], Said] | None = None


def _text(name: str) -> Read:
    return lambda element, world: {name: _plain(element)}


def _plain(element: Element) -> str:
    """A property's text. Some clients forget to escape their HTML, and the schema allows no elements here."""
    if len(element):
        raise unreadable(f"{local(element)} holds elements where text is expected")
    return element.text or ""


def _flag(name: str) -> Read:
    def read(element: Element, world: World) -> Said:
        text = text_of(element)
        if text not in ("true", "false", "1", "0"):
            raise unreadable(f"{text!r} is no {local(element)}")
        return {name: is_true(text)}

    return read


def _choice(name: str, words: tuple[str, ...]) -> Read:
    def read(element: Element, world: World) -> Said:
        text = text_of(element)
        if text not in words:
            raise unreadable(f"{text!r} is no {local(element)}")
        return {name: text}

    return read


def _body(element: Element, world: World) -> Said:
    text = _plain(element)
    kind = element.get("BodyType", "Text")
    if kind not in ("HTML", "Text"):
        raise unreadable(f"{kind!r} is no BodyType")
    return {"body": Html(text) if kind == "HTML" else text}


def _more_body(item: Item, said: Said) -> Said:
    before = item.body or ""
    kind = Html if isinstance(before, Html) or (not before and isinstance(said["body"], Html)) else str
    return {"body": kind(before + said["body"])}


def _categories(element: Element, world: World) -> Said:
    return {"categories": tuple(dict.fromkeys(text_of(one) for one in children(element)))}


def _reminder_minutes(element: Element, world: World) -> Said:
    try:
        minutes = int(text_of(element))
    except ValueError:
        raise unreadable("ReminderMinutesBeforeStart is not a number") from None
    if not 0 <= minutes <= _MAX_REMINDER_MINUTES:
        raise Refusal("ErrorInvalidValueForProperty", f"A reminder cannot come {minutes} minutes before the start.")
    return {"reminder_minutes": minutes}


def _zone(name: str) -> Read:
    """By its Windows id; the definition that some clients send along is that of Windows anyway."""

    def read(element: Element, world: World) -> Said:
        known = element.get("Id") or element.get("TimeZoneName") or ""
        if known == "tzone://Microsoft/Utc":
            return {name: Zone(known, UTC_ZONE.iana)}
        if known not in IANA_BY_WINDOWS:
            raise Refusal("ErrorCalendarInvalidTimeZone", "The time zone is none that this server knows.")
        return {name: zone(known)}

    return read


def _attendees(role: Role) -> Read:
    """Who is invited in that role; what the client says of their answers is passed over."""

    def read(element: Element, world: World) -> Said:
        return {role: tuple(_attendee(one, role, world) for one in children(element))}

    return read


def _attendee(element: Element, role: Role, world: World) -> Attendee:
    name = text_of(element.find(f"{t('Mailbox')}/{t('Name')}"))
    address = text_of(element.find(f"{t('Mailbox')}/{t('EmailAddress')}"))
    mailbox = world.mailbox(address)
    known = [mailbox] if mailbox is not None else list(named(world, name)) if not address else []
    if len(known) == 1:
        return Attendee(known[0].name, known[0].primary, role)
    if "@" not in address.strip("@"):
        raise Refusal("ErrorInvalidRecipients", "At least one recipient is not valid.")
    return Attendee(name or address, address, role)


def _more_attendees(role: Role) -> Callable[[Item, Said], Said]:
    return lambda item, said: {role: tuple(one for one in item.attendees if one.role == role) + said[role]}


def _enhanced_location(element: Element, world: World) -> Said:
    return {"location": text_of(element.find(t("DisplayName")))}


def _further(element: Element, world: World) -> Said:
    return {f"further {local(element)}": _plain(element)}


def _kept(name: str) -> Writable:
    """A property that is stored and given back, and that nothing here acts on."""
    return Writable(name, _further, {f"further {name}": None})


WRITABLE: Final[Mapping[str, Writable]] = {
    "item:Subject": Writable("Subject", _text("subject"), {"subject": None}),
    "item:Sensitivity": Writable(
        "Sensitivity", _choice("sensitivity", get_args(Sensitivity)), {"sensitivity": "Normal"}
    ),
    "item:Body": Writable("Body", _body, {"body": None}, _more_body),
    "item:Categories": Writable("Categories", _categories, {"categories": ()}),
    "item:Importance": Writable("Importance", _choice("importance", get_args(Importance)), {"importance": "Normal"}),
    "item:ReminderIsSet": Writable("ReminderIsSet", _flag("has_reminder"), {"has_reminder": False}),
    "item:ReminderMinutesBeforeStart": Writable(
        "ReminderMinutesBeforeStart", _reminder_minutes, {"reminder_minutes": 15}
    ),
    "item:ReminderDueBy": Writable(
        "ReminderDueBy", lambda element, world: {}, {}
    ),  # follows the start, whatever is said
    "item:ItemClass": Writable("ItemClass", _further, None),
    "item:InReplyTo": _kept("InReplyTo"),
    "item:Culture": _kept("Culture"),
    "calendar:UID": Writable("UID", _text("uid"), None),
    "calendar:Start": Writable("Start", _text("start"), None),
    "calendar:End": Writable("End", _text("end"), None),
    "calendar:IsAllDayEvent": Writable("IsAllDayEvent", _flag("is_all_day"), {"is_all_day": False}),
    "calendar:LegacyFreeBusyStatus": Writable(
        "LegacyFreeBusyStatus", _choice("show_as", get_args(ShowAs)), {"show_as": "Busy"}
    ),
    "calendar:Location": Writable("Location", _text("location"), {"location": None}),
    "calendar:EnhancedLocation": Writable("EnhancedLocation", _enhanced_location, {"location": None}),
    "calendar:IsResponseRequested": Writable("IsResponseRequested", _flag("wants_answers"), {"wants_answers": True}),
    "calendar:RequiredAttendees": Writable(
        "RequiredAttendees", _attendees("required"), {"required": ()}, _more_attendees("required")
    ),
    "calendar:OptionalAttendees": Writable(
        "OptionalAttendees", _attendees("optional"), {"optional": ()}, _more_attendees("optional")
    ),
    "calendar:Resources": Writable("Resources", _attendees("resource"), {"resource": ()}, _more_attendees("resource")),
    "calendar:Recurrence": Writable(
        "Recurrence",
        lambda element, world: {"recurrence": series_read.recurrence(element)},
        {"recurrence": None},
    ),
    "calendar:MeetingTimeZone": Writable("MeetingTimeZone", _zone("zone"), {}),
    "calendar:StartTimeZone": Writable("StartTimeZone", _zone("zone"), {}),
    "calendar:EndTimeZone": Writable("EndTimeZone", _zone("end_zone"), {"end_zone": None}),
    "calendar:AllowNewTimeProposal": Writable(
        "AllowNewTimeProposal", _flag("allows_new_times"), {"allows_new_times": True}
    ),
    "calendar:When": _kept("When"),
    "calendar:ConferenceType": _kept("ConferenceType"),
    "calendar:MeetingWorkspaceUrl": _kept("MeetingWorkspaceUrl"),
    "calendar:NetShowUrl": _kept("NetShowUrl"),
}
BY_ELEMENT: Final = {one.element: uri for uri, one in WRITABLE.items()}
