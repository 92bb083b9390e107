"""Rooms that release what nobody comes to: EnableAutoRelease, with PostReservationMaxClaimTimeInMinutes.

Whoever enters checks in (Actions.check_in). A meeting that has run for so many minutes without that leaves the room, and its
organizer is told. Neighbours: attendant.py says when to look again, post.py wakes us at the time.
"""

from datetime import datetime, timedelta

from kalends_sandbox import answers, series
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Mail, Post
from kalends_sandbox.reception import rules_of
from kalends_sandbox.world import World


class NoShows:
    """One appointment with the post for each room: the next moment at which something there may be due, or the next day."""

    def __init__(self, world: World, post: Post) -> None:
        self._world, self._post = world, post
        self._next: dict[str, datetime] = {}
        world.clock.listeners.append(self._clock_changed)

    def begin(self, room: Mailbox) -> None:
        """Whatever runs when a room begins to release its no-shows is taken as entered."""
        now, calendar = self._world.clock.now(), room.calendar
        if room.primary not in self._next and rules_of(room).enable_auto_release and calendar is not None:
            room.checked_in |= {check_in_key(one): one.end for one in _running(calendar, now)}
        self.watch(room)

    def watch(self, room: Mailbox) -> None:
        """Release what is due by now, and look again when the next meeting will have waited long enough."""
        rules, calendar = rules_of(room), room.calendar
        if not rules.enable_auto_release or calendar is None:
            self._next.pop(room.primary, None)
            return
        now, patience = self._world.clock.now(), timedelta(minutes=rules.post_reservation_max_claim_time_in_minutes)
        room.checked_in = {key: end for key, end in room.checked_in.items() if end > now}
        for one in _running(calendar, now):
            if one.start + patience <= now and check_in_key(one) not in room.checked_in:
                self._release(room, calendar, one)
        tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        starts = [one.start + patience for one in calendar.view(now, tomorrow) if _is_claimable(one)]
        self._look_at(room, min((at for at in starts if at > now), default=tomorrow))

    def _look_at(self, room: Mailbox, at: datetime) -> None:
        if self._next.get(room.primary) == at:
            return
        self._next[room.primary] = at
        self._post.at(at, lambda: self._look(room, at))

    def _look(self, room: Mailbox, at: datetime) -> None:
        if self._next.get(room.primary) == at:  # otherwise another moment was found meanwhile
            self.watch(room)

    def _release(self, room: Mailbox, calendar: Folder, one: Item) -> None:
        assert one.organizer is not None
        meeting = calendar.items[one.master_id or one.item_id]
        text = answers.released(room, rules_of(room))
        self._post.send(Mail("refusal", room.primary, one.organizer.address, meeting, one.original_start, text))
        if one.original_start is None:
            calendar.remove(one.item_id)
        else:
            calendar.save(series.without(meeting, one.original_start))

    def _clock_changed(self) -> None:
        """After a jump the next moment is another one."""
        for address in sorted(self._next):
            room = self._world.mailbox(address)
            if room is not None:
                self.watch(room)


def check_in_key(one: Item) -> tuple[str, datetime]:
    """A meeting at its time: moved to another, it wants checking in again."""
    return one.clean_uid, one.start


def _running(calendar: Folder, now: datetime) -> list[Item]:
    return [one for one in calendar.view(now, now + timedelta(microseconds=1)) if _is_claimable(one)]


def _is_claimable(one: Item) -> bool:
    """A booking that somebody was given; what stands in the room by its own hand is nobody's to claim."""
    return one.my_response == "Accept" and one.takes_time and one.organizer is not None
