"""A room's booking attendant at work: requests are shown, decided after a moment, kept or dropped, and answered.

What is for the delegates waits, tentatively accepted, until one of them says the word. Neighbours: booking.py decides,
answers.py finds the words, filing.py writes the calendar; attendant.py brings the mail.
"""

from collections.abc import Callable
from datetime import datetime

from kalends_sandbox import answers, filing
from kalends_sandbox.booking import Asker, Decision, decide
from kalends_sandbox.filing import Standing
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item, Response, ShowAs
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.post import Mail, MailKind, Post
from kalends_sandbox.world import World

_Key = tuple[str, str, datetime | None]  # room, meeting, original start: what a room is asked
_AS_ASKED = Decision("accepted")


class Reception:
    """All rooms' attendants. `answered` is told of each room whose bookings may have changed."""

    def __init__(self, world: World, post: Post, answered: Callable[[Mailbox], None]) -> None:
        self._world, self._post, self._answered = world, post, answered
        self._undecided: dict[_Key, Mail] = {}  # the latest request about each thing that a room still thinks about

    def request(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        """An invitation or update has come: shown at once (by default), decided later."""
        rules, request, asker = rules_of(room), filing.request_in(mail), self._asker(mail)
        before = filing.copy_of(calendar, mail)
        was_taking = before is not None and filing.one_of(before).takes_time
        is_welcome = asker.is_internal or rules.process_external_meeting_messages
        if before is not None or (rules.add_new_requests_tentatively and is_welcome):
            filing.write(calendar, mail)
        if rules.automate_processing != "AutoAccept":
            return
        answer = _answer_given(calendar, mail, was_taking)
        if answer is not None:  # an update that changed no times needs no second answer
            self._keep(calendar, mail, rules, answer, request.show_as)
            return
        self._undecided[_key(room, mail)] = mail
        self._post.think(lambda: self._decide(room, calendar, mail))

    def cancelled(self, room: Mailbox, mail: Mail) -> None:
        """A cancelled meeting is not decided any more; a cancelled series takes its single requests along."""
        for key in [key for key in self._undecided if key[:2] == _key(room, mail)[:2]]:
            if mail.original_start in (None, key[2]):
                del self._undecided[key]

    def delegate_said(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        """One of the delegates approves or declines what waits; too late when somebody else already has."""
        found, delegate = filing.copy_of(calendar, mail), self._world.mailbox(mail.sender)
        if found is None or delegate is None or not waits_for_approval(filing.one_of(found)):
            return
        rules, copy = rules_of(room), filing.one_of(found)
        self._undecided.pop(_key(room, mail), None)
        is_granted = mail.kind == "approval"
        if is_granted:
            self._keep(calendar, mail, rules, "Accept", copy.intended)
        else:
            filing.drop(calendar, mail)
        if copy.organizer is not None:
            text = answers.decided(room, rules, delegate, is_granted, mail.note)
            kind: MailKind = "acceptance" if is_granted else "refusal"
            self._post.send(Mail(kind, room.primary, copy.organizer.address, mail.meeting, mail.original_start, text))
        self._answered(room)

    def _decide(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        if self._undecided.get(_key(room, mail)) is not mail:
            return  # overtaken by a newer request, taken back, or decided by a delegate
        del self._undecided[_key(room, mail)]
        rules, request = rules_of(room), filing.request_in(mail)
        if rules.automate_processing != "AutoAccept":
            return  # switched off while it thought
        decision = decide(room, calendar, request, self._world.clock.now(), self._asker(mail))
        if decision.outcome == "refused":
            filing.drop(calendar, mail)
            self._answer(room, "refusal", mail, answers.refusal(room, rules, decision, request))
        elif decision.outcome == "accepted":
            self._keep(calendar, mail, rules, "Accept", request.show_as, decision)
            self._answer(room, "acceptance", mail, answers.acceptance(room, rules, decision, request))
        else:
            self._keep(calendar, mail, rules, "Tentative", request.show_as, decision)
            self._answer(room, "tentative", mail, answers.pending(room, rules, decision))
            self._ask_delegates(room, rules, mail, decision)
        self._refuse_conflicting(room, rules, mail, decision)
        self._answered(room)

    def _keep(
        self, calendar: Folder, mail: Mail, rules: BookingRules, answer: Response, wanted: ShowAs,
        decision: Decision = _AS_ASKED,
    ) -> None:  # fmt: skip
        """`wanted` is how the organizer wants it shown."""
        show_as = wanted if answer == "Accept" else _pending(wanted, rules)
        filing.stand(calendar, mail, Standing(answer, show_as, rules, decision.missed, decision.until))

    def _refuse_conflicting(self, room: Mailbox, rules: BookingRules, mail: Mail, decision: Decision) -> None:
        """Separate mails for the occurrences that a series does not get, where the room gives details at all."""
        if not rules.enable_response_details:
            return
        for conflict in decision.conflicts:
            if conflict.wanted.original_start in decision.missed:
                text, start = answers.one_refused(room, rules, conflict), conflict.wanted.original_start
                self._post.send(Mail("refusal", room.primary, mail.sender, mail.meeting, start, text))

    def _ask_delegates(self, room: Mailbox, rules: BookingRules, mail: Mail, decision: Decision) -> None:
        if not rules.forward_requests_to_delegates:
            return
        text = answers.forwarded(room, decision)
        for delegate in delegates_of(self._world, room):
            self._post.send(Mail("forwarded", room.primary, delegate.primary, mail.meeting, mail.original_start, text))

    def _answer(self, room: Mailbox, kind: MailKind, mail: Mail, text: str) -> None:
        self._post.send(Mail(kind, room.primary, mail.sender, mail.meeting, mail.original_start, text))

    def _asker(self, mail: Mail) -> Asker:
        sender = self._world.mailbox(mail.sender)
        if sender is None:
            return Asker((mail.sender.lower(),), is_internal=False)
        return Asker(sender.addresses, sender.department)


def rules_of(room: Mailbox) -> BookingRules:
    return room.place.rules if room.place else BookingRules()


def delegates_of(world: World, room: Mailbox) -> list[Mailbox]:
    """The people who decide for the room; entries that name nobody here count for nothing."""
    found = (world.mailbox(address) for address in rules_of(room).resource_delegates)
    return [mailbox for mailbox in found if mailbox is not None]


def waits_for_approval(copy: Item) -> bool:
    """Whether a room has not given its last word on a meeting of somebody else's."""
    return copy.my_response in ("NoResponseReceived", "Tentative") and not copy.is_cancelled


def _key(room: Mailbox, mail: Mail) -> _Key:
    return room.primary, mail.meeting.clean_uid, mail.original_start


def _answer_given(calendar: Folder, mail: Mail, was_taking: bool) -> Response | None:
    """The room's earlier answer, if it still holds: same times, and no more taken from the room than before."""
    found = filing.copy_of(calendar, mail)
    if found is None:
        return None
    one = filing.one_of(found)
    if one.my_response == "Accept" and one.takes_time and not was_taking:
        return None
    return one.my_response if one.my_response in ("Accept", "Tentative") else None


def _pending(wanted: ShowAs, rules: BookingRules) -> ShowAs:
    """What waits for approval is tentative, or free where the room says so."""
    return "Tentative" if rules.tentative_pending_approval and wanted != "Free" else "Free"
