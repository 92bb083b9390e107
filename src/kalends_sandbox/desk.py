"""What an owner does to an item of the own mailbox, and which mail goes out for it.

Whoever owns a copy changes it at once; the others hear of it by mail. Changing one's copy of somebody else's meeting
changes nothing for the others, as in life. Neighbours: actions.py (people, by address and meeting) and the dialects
(clients, by item id) sit at it; post.py carries the mail, letters.py files it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from kalends_sandbox import copies, letters, series
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Attendee, Item, Override, Party, Response
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Mail, MailKind, Post
from kalends_sandbox.recurrence import Recurrence
from kalends_sandbox.world import World

MAX_ATTENDEES = 5_000

Disposal = Literal["deleteditems", "recoverableitemsdeletions", "gone"]

_ANSWERS: dict[Response, MailKind] = {"Accept": "acceptance", "Tentative": "tentative", "Decline": "refusal"}
_OF_ONE = (
    *("subject", "body", "location", "zone", "is_all_day", "show_as", "sensitivity", "attendees"),
    *("importance", "categories", "has_reminder", "reminder_minutes", "extended", "further"),
    *("end_zone", "wants_answers", "allows_new_times"),
)


class ActionRefused(ValueError):
    """The action makes no sense as asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """An item in somebody's folder, and which occurrence of it is meant."""

    mailbox: Mailbox
    folder: Folder
    item: Item
    original: datetime | None = None

    @property
    def one(self) -> Item:
        return self.item if self.original is None else series.occurrence(self.item, self.original)


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told: nobody, everybody invited, or only who comes or goes. A copy is filed in `filed_in`, if anywhere.

    `note` is written beside it.
    """

    whom: Literal["nobody", "everybody", "changed"] = "everybody"
    filed_in: Folder | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The owner's copy afterwards (one that went, as it was), and the message filed for it."""

    item: Item
    filed: Item | None = None


EVERYBODY = Telling()
NOBODY = Telling("nobody")


class Desk:
    """Has its world's mail filed in inboxes, too."""

    def __init__(self, world: World, post: Post) -> None:
        self._world, self._post = world, post
        post.keeper = lambda mail: letters.deliver(world, mail)

    def create(self, mailbox: Mailbox, calendar: Folder, draft: Item, telling: Telling = EVERYBODY) -> Item:
        """A new appointment; a meeting when somebody or some room is invited."""
        _check_times(draft)
        kept = calendar.add(_on_first_date(replace(draft, was_sent=telling.whom != "nobody")))
        self._mail("invitation", Held(mailbox, calendar, kept), kept.attendees, telling)
        return kept

    def change(self, held: Held, after: Item, telling: Telling = EVERYBODY) -> Item:
        """`after` is what the item, series or occurrence is to be; the item in the folder afterwards.

        A series on new times or dates drops its exceptions; new times need new answers.
        """
        before = held.one
        _check_times(after)
        if not copies.same_times(before, after):
            anew = tuple(replace(one, response="Unknown", answered=None) for one in after.attendees)
            after = replace(after, attendees=anew)
        item = self._kept(held, before, after, telling)
        if before.is_organizer:
            self._spread(Held(held.mailbox, held.folder, item, held.original), before, after.attendees, telling)
        return item

    def cancel(self, held: Held, telling: Telling = EVERYBODY, disposal: Disposal = "deleteditems") -> Told:
        """The organizer calls it off: gone here, cancellations to everybody invited."""
        if not held.item.is_organizer:
            raise ActionRefused("Only the organizer can cancel a meeting: an attendee declines or removes it.")
        if held.original is None:
            self._release_orphans(held, telling)
        filed = self._mail("cancellation", held, held.one.attendees, telling)
        return Told(self.discard(held, disposal), filed)

    def respond(self, held: Held, answer: Response, telling: Telling = EVERYBODY) -> Told:
        """An attendee accepts, accepts tentatively or declines; a declined copy goes to Deleted Items."""
        if answer not in _ANSWERS:
            raise ActionRefused(f"An answer is Accept, Tentative or Decline, not {answer}.")
        organizer = held.item.organizer
        if held.item.is_organizer or organizer is None:
            raise ActionRefused("The organizer has nothing to answer: only invited attendees accept or decline.")
        filed = self._mail(_ANSWERS[answer], held, [Attendee(organizer.name, organizer.address)], telling)
        if answer == "Decline":
            return Told(self.discard(held, "deleteditems"), filed)
        after = copies.answered(held.one, answer)
        if held.original is not None:
            change = Override(my_response=after.my_response, show_as=after.show_as)
            after = series.overridden(held.item, held.original, change)
        return Told(held.folder.save(after), filed)

    def discard(self, held: Held, disposal: Disposal) -> Item:
        """Out of its folder, and nobody is told; what it was. With its last occurrence a series goes altogether."""
        one = held.one
        if held.original is not None:
            left = series.without(held.item, held.original)
            if series.first_occurrence(left) is not None:
                held.folder.save(left)
                return one
        to = None if disposal == "gone" else held.mailbox.folders.get(disposal)
        if to is None:
            held.folder.remove(held.item.item_id)
        else:
            held.mailbox.move(held.item.item_id, to)
        return one

    def _kept(self, held: Held, before: Item, after: Item, telling: Telling) -> Item:
        sequence = held.item.sequence + 1
        if held.original is not None:
            item = series.overridden(replace(held.item, sequence=sequence), held.original, _override(before, after))
            return held.folder.save(item)
        after = replace(after, sequence=sequence, was_sent=before.was_sent or telling.whom != "nobody")
        if before.recurrence is not None and not copies.same_times(before, after):
            self._release_orphans(held, telling)
            after = replace(after, exceptions={}, deleted=(), generation=after.generation + 1)
        if after.recurrence is not None and not copies.same_times(before, after):
            return held.folder.save(_on_first_date(replace(after, recurrence=_dates_of(before, after))))
        exceptions = {start: _reinvited(one, before, after) for start, one in after.exceptions.items()}
        return held.folder.save(replace(after, exceptions=exceptions))

    def _release_orphans(self, held: Held, telling: Telling) -> None:
        """Whoever was invited to single occurrences only hears that these are off."""
        series_wide = _addresses(held.item.attendees)
        if not held.item.is_organizer:
            return
        for original, override in sorted(held.item.exceptions.items()):
            alone = [one for one in override.attendees or () if one.address.lower() not in series_wide]
            self._mail("cancellation", replace(held, original=original), alone, replace(telling, filed_in=None))

    def _spread(self, held: Held, before: Item, after: Sequence[Attendee], telling: Telling) -> None:
        """Updates to who stays, invitations to who is new, cancellations to who is out."""
        known = _addresses(before.attendees) if before.was_sent else frozenset()
        wanted = _addresses(after)
        if telling.whom == "everybody":
            self._mail("update", held, [one for one in after if one.address.lower() in known], telling)
        self._mail("invitation", held, [one for one in after if one.address.lower() not in known], telling)
        gone = [one for one in before.attendees if one.address.lower() in known - wanted]
        self._mail("cancellation", held, gone, telling)

    def _mail(self, kind: MailKind, held: Held, whom: Iterable[Attendee], telling: Telling) -> Item | None:
        """To each of them but the owner; the copy that was filed. Told to nobody, a copy to be filed is a draft."""
        to = tuple(one for one in whom if self._world.mailbox(one.address) is not held.mailbox)
        if not to:
            return None
        sent = Mail(kind, held.mailbox.primary, "", held.item, held.original, telling.note)
        if telling.whom != "nobody":
            for one in to:
                self._post.send(replace(sent, to=one.address))
        if telling.filed_in is None:
            return None
        parties = tuple(Party(one.name, one.address) for one in to)
        return letters.file(telling.filed_in, held.mailbox, sent, parties)


def _override(before: Item, after: Item) -> Override:
    """What this change says of one occurrence. Times are always said: they are what makes it an exception."""
    said: dict[str, Any] = {
        name: _said(name, getattr(after, name)) for name in _OF_ONE if getattr(after, name) != getattr(before, name)
    }
    return Override(start=after.start, end=after.end, **said)


def _said(name: str, value: Any) -> Any:
    """A text taken away from one occurrence is an empty one there: None would let the series' show through."""
    return "" if value is None and name in ("subject", "body", "location") else value


def _reinvited(override: Override, before: Item, after: Item) -> Override:
    """An exception with its own list of attendees after somebody came to, or left, the series."""
    if override.attendees is None or before.attendees == after.attendees:
        return override
    known, wanted = _addresses(before.attendees), _addresses(after.attendees)
    own = _addresses(override.attendees)
    stay = [one for one in override.attendees if one.address.lower() in wanted or one.address.lower() not in known]
    come = [one for one in after.attendees if one.address.lower() not in known | own]
    return replace(override, attendees=(*stay, *come))


def _dates_of(before: Item, after: Item) -> Recurrence:
    """The pattern as it was changed; where only the start was, it begins on the new start's date."""
    assert after.recurrence is not None
    if after.recurrence != before.recurrence:
        return after.recurrence
    return replace(after.recurrence, start=after.start.astimezone(after.zone.tz).date())


def _on_first_date(item: Item) -> Item:
    """A series starts with its first occurrence, even when somebody wrote another date."""
    if item.recurrence is None:
        return item
    first = item.recurrence.first
    if first is None:
        raise ActionRefused("No date fits this pattern within its range: choose a later end or other days.")
    start = series.start_on(item, first)
    return replace(item, start=start, end=start + (item.end - item.start))


def _check_times(item: Item) -> None:
    if item.end < item.start:
        raise ActionRefused("The meeting would end before it starts: give an end that is not earlier than the start.")


def _addresses(attendees: Iterable[Attendee]) -> frozenset[str]:
    return frozenset(attendee.address.lower() for attendee in attendees)
