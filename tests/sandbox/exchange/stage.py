"""A small random world behind a real server on loopback. Leaving the stage judges every call made on it by the schema."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ssl import SSLContext

import httpx2
from lxml import etree

from kalends_sandbox import http
from kalends_sandbox.actions import Actions
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.exchange import Exchange, Settings
from kalends_sandbox.faults import Faults
from kalends_sandbox.identity import Tokens
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import Place
from kalends_sandbox.post import Post
from kalends_sandbox.room_actions import RoomActions
from kalends_sandbox.world import RoomList, ServiceAccount, World
from kalends_sandbox.zones import zone
from sandbox.exchange import wire

USER, PASSWORD = "svc-kalends@north.example", "p4ss: wörd"
TODAY = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
BERLIN = zone("W. Europe Standard Time")
WORDS = (
    *("Läuse", "&", "<Flöhe>", "Budget", '"Q3"', "会議", "café", "rollout", "über", "retro", "'planning'", "Ω"),
    *("review", "façade"),
)


def words(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))


@dataclass
class Answer:
    status: int
    headers: httpx2.Headers
    content: bytes

    @property
    def tree(self) -> etree._Element:
        return etree.fromstring(self.content)

    @property
    def codes(self) -> list[str]:
        return wire.codes(self.tree)


@dataclass
class Stage:
    world: World
    post: Post
    actions: Actions
    rooms: RoomActions
    faults: Faults
    exchange: Exchange
    rng: random.Random
    url: str
    client: httpx2.AsyncClient
    ann: Mailbox
    bob: Mailbox
    room: Mailbox
    other_room: Mailbox

    def account_headers(self, user: str = USER, password: str = PASSWORD) -> dict[str, str]:
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {secret}", "Content-Type": "text/xml; charset=utf-8"}

    async def ask(
        self, operation: str, impersonate: str | None = None, headers: dict[str, str] | None = None, **envelope: str
    ) -> Answer:
        """One call as the service account; `impersonate` an address, unless `kind` says otherwise."""
        return await self.send(wire.envelope(operation, impersonate, **envelope), headers)

    async def send(self, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        self.client.cookies.clear()  # tests send the cookies they mean
        answer = await self.client.post(self.url, content=body, headers={**self.account_headers(), **(headers or {})})
        return Answer(answer.status_code, answer.headers, answer.content)

    async def in_room(self, operation: str, **envelope: str) -> etree._Element:
        answer = await self.ask(operation, self.room.primary, **envelope)
        assert answer.status == 200, answer.content
        return answer.tree

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Lets the loop run until it is so; a few seconds at most."""
        for _ in range(1000):
            if is_so():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("It never came to be.")

    def at(self, days: float = 0, hours: float = 0) -> datetime:
        return TODAY + timedelta(days=days, hours=hours)

    def book(self, days: float = 0, hours: float = 1, **fields: object) -> tuple[Item, Item]:
        """Ann invites Bob and the room; her copy and the room's, mail settled."""
        fields.setdefault("subject", words(self.rng))
        mine = self.actions.create(
            self.ann.primary,
            start=self.at(days, hours),
            end=self.at(days, hours + 1),
            rooms=[self.room.primary],
            required=[self.bob.primary],
            **fields,  # type: ignore[arg-type]
        )
        self.post.settle()
        assert self.ann.calendar is not None
        return self.ann.calendar.items[mine.item_id], self.copy(self.room, mine.uid)

    def copy(self, mailbox: Mailbox, uid: str) -> Item:
        assert mailbox.calendar is not None
        found = mailbox.calendar.by_uid(uid)
        assert len(found) == 1
        return found[0]


def _world(clock: Clock, rng: random.Random) -> World:
    world = World(clock, rng, "north.example", "North", BERLIN)
    world.add_mailbox(
        "Ann Ōkubo", "ann@north.example", aliases=("a.okubo@north.example",), upn="ann.o@corp.north.example"
    )
    world.add_mailbox("Bob <Brown> & Sons", "bob@north.example")
    for name, floor in (("Große Stube", "1"), ("Linden", "2")):
        address = f"room{floor}@north.example"
        world.add_mailbox(name, address, "room", aliases=(f"r{floor}@north.example",), place=Place("Haus A", floor, 8))
    world.add_mailbox("Hollow", "hollow@north.example", with_calendar=False)
    world.room_lists.append(RoomList("Haus A", "haus-a@north.example", ("room1@north.example", "room2@north.example")))
    world.accounts.append(ServiceAccount(USER, PASSWORD, ("ann@*", "bob@*", "hollow@*", "list:haus-a@north.example")))
    world.accounts.append(ServiceAccount("narrow", "narrow", ("room1@north.example",)))
    world.accounts.append(ServiceAccount("ann", "ann's own", (), mailbox="ann@north.example"))
    return world


@asynccontextmanager
async def staged(
    seed: int = 1,
    settings: Settings | None = None,
    ssl: SSLContext | None = None,
    judged: bool = True,
    channel: bytes | None = None,
    tokens_of: Callable[[World], Tokens] | None = None,
) -> AsyncIterator[Stage]:
    rng = random.Random(seed)
    world = _world(Clock(TODAY), rng)
    post = Post(world, rng)
    Attendant(world, post)
    faults = Faults(random.Random(seed))
    actions = Actions(world, post)
    exchange = Exchange(
        world, actions.desk, faults, random.Random(seed), settings, channel, tokens_of and tokens_of(world)
    )
    exchange.recorder.keep(10_000)
    server = await http.serve(exchange.handle, "127.0.0.1", 0, ssl)
    scheme = "https" if ssl else "http"
    people = [world.mailbox(f"{name}@north.example") for name in ("ann", "bob", "room1", "room2")]
    assert all(people)
    async with httpx2.AsyncClient(timeout=10) as client:
        url = f"{scheme}://127.0.0.1:{server.port}/EWS/Exchange.asmx"
        try:
            yield Stage(world, post, actions, RoomActions(world, post), faults, exchange, rng, url, client, *people)  # type: ignore[arg-type]
        finally:
            await server.close()
            exchange.close()
    if judged:
        judge(exchange)


def judge(exchange: Exchange) -> int:
    """Every request seen and every answer given is what the schema allows, unless a fault spoiled it on purpose."""
    judged = 0
    for call in exchange.recorder.calls():
        is_unreadable = any(b"ErrorSchemaValidation" in answer for answer in call.answers)  # and so may be anything
        documents = ([] if is_unreadable else [call.request]) + ([] if call.fault else list(call.answers))
        for document in documents:
            assert wire.violations(document) == [], (call.operation, document.decode())
            judged += 1
    return judged
