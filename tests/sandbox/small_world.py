"""A small world for tests: two rooms and three people in Berlin, a clock that stands still until it is told to move."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kalends_sandbox.actions import Actions
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Happening
from kalends_sandbox.place import BookingRules, Place
from kalends_sandbox.post import Post, Timing
from kalends_sandbox.room_actions import RoomActions
from kalends_sandbox.world import RoomList, ServiceAccount, World
from kalends_sandbox.zones import Zone

BERLIN = Zone("W. Europe Standard Time", "Europe/Berlin")
MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
ANN, BOB, EVE = "ann@small.example", "bob@small.example", "eve@small.example"
OAK, ELM = "oak@small.example", "elm@small.example"
HOUR = timedelta(hours=1)


class SmallWorld:
    def __init__(self, seed: int = 1, monotonic: Callable[[], float] = lambda: 0.0, **rules: object) -> None:
        self.clock = Clock(MONDAY, 1.0, monotonic)
        self.world = World(self.clock, random.Random(seed), "small.example", "Small", BERLIN)
        place = Place("House", "1", 6, (), replace(BookingRules(), **rules))
        for name in ("Oak", "Elm"):
            self.world.add_mailbox(name, f"{name}@small.example", "room", place=place)
        for name in ("Ann", "Bob", "Eve"):
            address, alias = f"{name}@small.example", f"{name}.alias@small.example"
            self.world.add_mailbox(name, address, aliases=(alias,), department="Glass" if name == "Bob" else "")
        self.world.room_lists.append(RoomList("House", "house@small.example", (OAK, ELM)))
        self.world.accounts.append(ServiceAccount("svc", "pw", ("list:house@small.example", "a*@small.example")))
        self.post = Post(self.world, random.Random(seed), Timing((1.0, 1.0), (5.0, 5.0)))
        self.attendant = Attendant(self.world, self.post)
        self.actions = Actions(self.world, self.post)
        self.rooms = RoomActions(self.world, self.post)
        self.heard: list[Happening] = []
        self.world.listeners.append(self.heard.append)

    def items(self, address: str) -> list[Item]:
        mailbox = self.world.mailbox(address)
        assert mailbox is not None
        assert mailbox.calendar is not None
        return list(mailbox.calendar.items.values())

    def only(self, address: str) -> Item:
        (item,) = self.items(address)
        return item

    def calendar(self, address: str):
        mailbox = self.world.mailbox(address)
        assert mailbox is not None
        assert mailbox.calendar is not None
        return mailbox.calendar

    def pass_time(self, seconds: float) -> None:
        """The clock moves second by second, and the post does what becomes due."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:
            self.clock.set(min(until, self.clock.now() + timedelta(seconds=0.5)))
            self.post.do_due()

    def notes(self, to: str, kind: str | None = None) -> list[str]:
        """What was written to somebody, oldest first."""
        return [mail.note for _, mail in self.post.log if mail.to == to and kind in (None, mail.kind)]

    def govern(self, address: str, **rules: object) -> None:
        room = self.world.mailbox(address)
        assert room is not None
        assert room.place is not None
        self.attendant.govern(room, replace(room.place.rules, **rules))

    def responses(self, address: str) -> dict[str, str]:
        return {attendee.address: attendee.response for attendee in self.only(address).attendees}
