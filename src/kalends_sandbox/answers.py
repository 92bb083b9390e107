"""What the mails of a booking attendant say, in the sandbox's own words. Pure.

Why a request was granted or not stands in them only where the room gives details (EnableResponseDetails), who is in the way
only where it names organizers (OrganizerInfo). Neighbours: booking.py decides, reception.py sends.
"""

from kalends_sandbox.booking import Conflict, Decision
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.zones import Zone

_MOST_CONFLICTS = 10


def acceptance(room: Mailbox, rules: BookingRules, decision: Decision, request: Item) -> str:
    lines = [f"{room.name} is booked."]
    if rules.enable_response_details:
        if decision.missed:
            lines.append(f"{len(decision.missed)} occurrences are declined, as they meet another booking:")
            lines += _conflict_lines(rules, decision, request.zone)
        if decision.until is not None:
            lines.append(f"The series is booked up to {decision.until.isoformat()}, where the booking window ends.")
    return _with_addition(rules, lines)


def pending(room: Mailbox, rules: BookingRules, decision: Decision) -> str:
    lines = [f"Your request for {room.name} was received and waits for approval."]
    if rules.enable_response_details:
        lines += decision.reasons
    return _with_addition(rules, lines)


def refusal(room: Mailbox, rules: BookingRules, decision: Decision, request: Item) -> str:
    lines = [f"{room.name} declines your request."]
    if rules.enable_response_details:
        lines += decision.reasons
        lines += _conflict_lines(rules, decision, request.zone)
    return _with_addition(rules, lines)


def one_refused(room: Mailbox, rules: BookingRules, conflict: Conflict) -> str:
    """Of an occurrence that an accepted series does not get."""
    lines = [
        f"{room.name} declines one occurrence of your series:",
        _conflict_line(rules, conflict, conflict.wanted.zone),
    ]
    return _with_addition(rules, lines)


def forwarded(room: Mailbox, decision: Decision) -> str:
    """What a delegate reads above a request."""
    policy = "out-of-policy" if decision.reasons else "in-policy"
    return "\n".join([f"This {policy} request for {room.name} was forwarded to you for approval.", *decision.reasons])


def decided(room: Mailbox, rules: BookingRules, delegate: Mailbox, is_granted: bool, said: str) -> str:
    """A delegate's decision, as the organizer reads it."""
    lines = [f"{delegate.name} has {'approved' if is_granted else 'declined'} your request for {room.name}."]
    return _with_addition(rules, [*lines, *([said] if said else [])])


def released(room: Mailbox, rules: BookingRules) -> str:
    minutes = rules.post_reservation_max_claim_time_in_minutes
    return _with_addition(rules, [f"{room.name} was released: nobody checked in within {minutes} minutes."])


def _conflict_lines(rules: BookingRules, decision: Decision, zone: Zone) -> list[str]:
    lines = [_conflict_line(rules, one, zone) for one in decision.conflicts[:_MOST_CONFLICTS]]
    more = len(decision.conflicts) - len(lines)
    return [*lines, f"… and {more} more."] if more else lines


def _conflict_line(rules: BookingRules, conflict: Conflict, zone: Zone) -> str:
    start, end = (at.astimezone(zone.tz) for at in (conflict.wanted.start, conflict.wanted.end))
    line = f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"
    if not rules.organizer_info or conflict.other.organizer is None:
        return line
    return f"{line}, booked by {conflict.other.organizer.name}"


def _with_addition(rules: BookingRules, lines: list[str]) -> str:
    added = [rules.additional_response] if rules.add_additional_response and rules.additional_response else []
    return "\n".join([*lines, *added])
