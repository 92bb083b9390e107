"""Pull and push subscriptions by raw SOAP: watermarks, what is told when, and how they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from lxml import etree

from kalends_sandbox import http
from kalends_sandbox.actions import Change
from kalends_sandbox.exchange import Settings
from kalends_sandbox.sandbox import Plan, opened
from sandbox.exchange import wire
from sandbox.exchange.stage import Answer, Stage, staged

QUICK = Settings(echo_s=(0.005, 0.01))
NS = wire.NS


@dataclass
class Told:
    """One Notification."""

    element: etree._Element

    @property
    def kinds(self) -> list[str]:
        return [name for one in self.element if (name := etree.QName(one).localname).endswith("Event")]

    @property
    def items(self) -> list[str]:
        return [str(one.get("Id")) for one in self.element.iterfind("*/t:ItemId", NS)]

    @property
    def watermark(self) -> str:
        return wire.texts(self.element, "*/t:Watermark")[-1]

    @property
    def previous(self) -> str:
        return wire.texts(self.element, "t:PreviousWatermark")[0]

    @property
    def more(self) -> bool:
        return wire.texts(self.element, "t:MoreEvents") == ["true"]


async def subscribed(stage: Stage, request: str, mailbox: str | None = None) -> tuple[str, str]:
    answer = await stage.ask(request, mailbox or stage.room.primary)
    assert answer.codes == ["NoError"], answer.content
    return wire.texts(answer.tree, ".//m:SubscriptionId")[0], wire.texts(answer.tree, ".//m:Watermark")[0]


async def pulled(stage: Stage, subscription: str, watermark: str, mailbox: str | None = None) -> Told:
    answer = await stage.ask(wire.get_events(subscription, watermark), mailbox or stage.room.primary)
    assert answer.codes == ["NoError"], answer.content
    (found,) = answer.tree.iter(f"{{{wire.M}}}Notification")
    return Told(found)


async def refused(stage: Stage, subscription: str, watermark: str, mailbox: str | None = None) -> Answer:
    return await stage.ask(wire.get_events(subscription, watermark), mailbox or stage.room.primary)


async def settled(stage: Stage) -> None:
    """Until every echo has been told."""
    notifier = stage.exchange._notifier
    await stage.until(lambda: not notifier._timers)


# --- pull


@pytest.mark.asyncio
async def test_a_fresh_pull_subscription_has_only_its_status_to_tell() -> None:
    async with staged(500) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())

        told = await pulled(stage, subscription, watermark)
        again = await pulled(stage, subscription, told.watermark)

        assert told.kinds == again.kinds == ["StatusEvent"]
        assert (told.previous, told.more) == (watermark, False)


@pytest.mark.asyncio
async def test_what_happened_is_told_once_and_only_to_the_watermark_told_last() -> None:
    async with staged(501, QUICK) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        _, theirs = stage.book()
        await settled(stage)

        told = await pulled(stage, subscription, watermark)
        again = await refused(stage, subscription, watermark)
        after = await pulled(stage, subscription, told.watermark)

        assert told.kinds[0] == "CreatedEvent"
        assert "FreeBusyChangedEvent" in told.kinds
        assert set(told.items) == {theirs.item_id}
        assert again.codes == ["ErrorInvalidWatermark"]
        assert after.kinds == ["StatusEvent"]


@pytest.mark.asyncio
async def test_events_before_the_subscription_are_not_told() -> None:
    async with staged(502, QUICK) as stage:
        await subscribed(stage, wire.pull())
        _, before = stage.book()
        await settled(stage)
        subscription, watermark = await subscribed(stage, wire.pull())
        stage.actions.create(stage.room.primary, "x", stage.at(3), stage.at(3, 1))
        await settled(stage)

        told = await pulled(stage, subscription, watermark)

        assert told.items
        assert before.item_id not in told.items


@pytest.mark.asyncio
async def test_an_old_watermark_begins_a_new_subscription_where_the_old_one_stood() -> None:
    async with staged(503, QUICK) as stage:
        first, watermark = await subscribed(stage, wire.pull())
        _, theirs = stage.book()
        await settled(stage)
        stage.exchange.drop_subscriptions()

        gone = await refused(stage, first, watermark)
        second, begun = await subscribed(stage, wire.pull(watermark=watermark))
        told = await pulled(stage, second, begun)

        assert gone.codes == ["ErrorSubscriptionNotFound"]
        assert begun == watermark
        assert (told.kinds[0], set(told.items)) == ("CreatedEvent", {theirs.item_id})


@pytest.mark.asyncio
async def test_fifty_events_come_at_a_time_and_it_is_said_that_there_are_more() -> None:
    async with staged(504, QUICK) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        mine = stage.actions.create(stage.room.primary, "x", stage.at(1), stage.at(1, 1))
        for number in range(30):
            stage.actions.edit(stage.room.primary, mine.uid, Change(subject=f"{number}"))
        await settled(stage)
        pages: list[Told] = []

        while not pages or pages[-1].more:
            pages.append(await pulled(stage, subscription, watermark))
            watermark = pages[-1].watermark

        assert [len(page.kinds) for page in pages[:-1]] == [50] * (len(pages) - 1)
        assert len(pages) >= 2
        assert pages[0].kinds[0] == "CreatedEvent"
        assert sum(page.kinds.count("CreatedEvent") for page in pages) == 1
        assert (await pulled(stage, subscription, watermark)).kinds == ["StatusEvent"]


@pytest.mark.asyncio
async def test_a_pull_subscription_hears_its_kinds_and_folders_or_all_folders() -> None:
    async with staged(505, QUICK) as stage:
        inbox = '<t:DistinguishedFolderId Id="inbox"/>'
        created = await subscribed(stage, wire.pull(events=("CreatedEvent",)))
        elsewhere = await subscribed(stage, wire.pull(folder=inbox))
        everywhere = await subscribed(stage, wire.pull(folder=""))
        stage.book()
        await settled(stage)

        assert set((await pulled(stage, *created)).kinds) == {"CreatedEvent"}
        assert (await pulled(stage, *elsewhere)).kinds == ["StatusEvent"]
        assert len((await pulled(stage, *everywhere)).kinds) >= 3


@pytest.mark.asyncio
async def test_a_pull_subscription_lives_as_long_as_it_is_asked() -> None:
    async with staged(506, Settings(minute_s=0.2)) as stage:
        subscription, watermark = await subscribed(stage, wire.pull(minutes=1))
        for _ in range(4):
            await asyncio.sleep(0.1)
            watermark = (await pulled(stage, subscription, watermark)).watermark

        await asyncio.sleep(0.25)

        assert (await refused(stage, subscription, watermark)).codes == ["ErrorSubscriptionNotFound"]
        assert stage.exchange.counters()["subscriptions"] == 0


@pytest.mark.asyncio
async def test_who_falls_too_far_behind_has_missed_events_and_must_begin_anew() -> None:
    async with staged(507, Settings(queued_events=10, echo_s=(0.005, 0.01))) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        for day in range(8):
            stage.book(day)
        await settled(stage)

        missed = await refused(stage, subscription, watermark)
        gone = await refused(stage, subscription, watermark)
        anew = await stage.ask(wire.pull(watermark=watermark), stage.room.primary)

        assert missed.codes == ["ErrorMissedNotificationEvents"]
        assert gone.codes == ["ErrorSubscriptionNotFound"]
        assert anew.codes == ["ErrorInvalidWatermark"]


@pytest.mark.asyncio
async def test_a_watermark_of_another_mailbox_or_none_at_all_is_invalid() -> None:
    async with staged(508) as stage:
        subscription, _ = await subscribed(stage, wire.pull())
        _, foreign = await subscribed(stage, wire.pull(), stage.ann.primary)

        for watermark in (foreign, "bm9uZQ==", "?"):
            assert (await refused(stage, subscription, watermark)).codes == ["ErrorInvalidWatermark"]
            anew = await stage.ask(wire.pull(watermark=watermark), stage.room.primary)
            assert anew.codes == ["ErrorInvalidWatermark"]


@pytest.mark.asyncio
async def test_a_migration_leaves_every_watermark_behind() -> None:
    async with staged(514, QUICK) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        stage.room.migrate()
        stage.exchange.drop_subscriptions(stage.room.primary)

        gone = await refused(stage, subscription, watermark)
        old = await stage.ask(wire.pull(watermark=watermark), stage.room.primary)
        anew, fresh = await subscribed(stage, wire.pull())
        _, theirs = stage.book()
        await settled(stage)

        assert gone.codes == ["ErrorSubscriptionNotFound"]
        assert old.codes == ["ErrorInvalidWatermark"]
        assert theirs.item_id in (await pulled(stage, anew, fresh)).items


@pytest.mark.asyncio
async def test_events_that_cannot_be_read_end_the_subscription() -> None:
    async with staged(509) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        stage.faults.add("events_unreadable", count=1)

        failed = await refused(stage, subscription, watermark)
        gone = await refused(stage, subscription, watermark)

        assert (failed.codes, gone.codes) == (["ErrorReadEventsFailed"], ["ErrorSubscriptionNotFound"])


@pytest.mark.asyncio
async def test_each_kind_of_subscription_is_read_in_its_own_way_only() -> None:
    async with staged(510) as stage:
        pull, watermark = await subscribed(stage, wire.pull())
        answer = await stage.ask(wire.subscribe(), stage.room.primary)
        (streaming,) = wire.texts(answer.tree, ".//m:SubscriptionId")

        by_stream = await stage.ask(wire.stream(pull), stage.room.primary)
        by_pull = await refused(stage, streaming, watermark)

        assert by_stream.codes == ["ErrorInvalidSubscription"]
        assert wire.texts(by_stream.tree, ".//m:ErrorSubscriptionIds/*") == [pull]
        assert by_pull.codes == ["ErrorInvalidPullSubscriptionId"]
        assert (await stage.ask(wire.unsubscribe(pull), stage.room.primary)).codes == ["NoError"]
        assert (await refused(stage, pull, watermark)).codes == ["ErrorSubscriptionNotFound"]


@pytest.mark.asyncio
async def test_a_pull_subscription_belongs_to_the_account_that_made_it() -> None:
    async with staged(511) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        narrow = {**stage.account_headers("narrow", "narrow"), "X-AnchorMailbox": "svc-kalends@north.example"}

        answer = await stage.ask(wire.get_events(subscription, watermark), stage.room.primary, narrow)

        assert answer.codes == ["ErrorSubscriptionAccessDenied"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (wire.pull(minutes=0), "ErrorSchemaValidation"),
        (wire.pull(minutes=1441), "ErrorSchemaValidation"),
        (wire.pull(events=("DreamtEvent",)), "ErrorSchemaValidation"),
        (wire.pull(folder="").replace(' SubscribeToAllFolders="true"', ""), "ErrorInvalidSubscriptionRequest"),
        (wire.pull().replace("<m:PullSubscriptionRequest", '<m:PullSubscriptionRequest SubscribeToAllFolders="true"'),
         "ErrorInvalidSubscriptionRequest"),
        (wire.push("https://127.0.0.1/hook"), "ErrorInvalidPushSubscriptionUrl"),
        (wire.push("http://elsewhere.example/hook"), "ErrorInvalidPushSubscriptionUrl"),
        (wire.push("http://127.0.0.1:99999/"), "ErrorInvalidPushSubscriptionUrl"),
        (wire.push("nonsense"), "ErrorInvalidPushSubscriptionUrl"),
    ],
)  # fmt: skip
async def test_a_subscription_that_cannot_be_is_refused_by_name(request_: str, code: str) -> None:
    async with staged(512) as stage:
        assert (await stage.ask(request_, stage.room.primary)).codes == [code]


@pytest.mark.asyncio
async def test_a_lost_notification_is_lost_to_pulling_too() -> None:
    async with staged(513, QUICK) as stage:
        subscription, watermark = await subscribed(stage, wire.pull())
        stage.faults.add("lose_notification", mailbox=stage.room.primary)
        stage.book()
        await settled(stage)

        assert (await pulled(stage, subscription, watermark)).kinds == ["StatusEvent"]


# --- push


@dataclass
class Receiver:
    """A subscriber's own web service: notes what it is told and answers as it is set."""

    status: str = "OK"
    code: int = 200
    url: str = ""
    told: list[Told] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: http.Request) -> http.Response:
        assert request.headers.get("SOAPAction") == f'"{wire.M}/SendNotification"'
        assert wire.violations(request.body) == []
        tree = etree.fromstring(request.body)
        self.told += [Told(one) for one in tree.iter(f"{{{wire.M}}}Notification")]
        self.heard.set()
        body = (
            f'<s:Envelope xmlns:s="{wire.SOAP}"><s:Body><SendNotificationResult xmlns="{wire.M}">'
            f"<SubscriptionStatus>{self.status}</SubscriptionStatus></SendNotificationResult></s:Body></s:Envelope>"
        )
        return http.Response(self.code, [("Content-Type", "text/xml")], body.encode())


@asynccontextmanager
async def receiving(stage: Stage) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await http.serve(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.port}/hook?for=tests"
    pushing = asyncio.create_task(stage.exchange.push())
    try:
        yield receiver
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await server.close()


@pytest.mark.asyncio
async def test_a_push_subscription_is_told_at_once_and_of_news_and_cannot_be_unsubscribed() -> None:
    async with staged(520, QUICK) as stage, receiving(stage) as receiver:
        subscription, watermark = await subscribed(stage, wire.push(receiver.url))
        await stage.until(lambda: len(receiver.told) == 1)
        _, theirs = stage.book()
        await stage.until(lambda: any(theirs.item_id in told.items for told in receiver.told))

        ended = await stage.ask(wire.unsubscribe(subscription), stage.room.primary)
        asked = await refused(stage, subscription, watermark)

        await settled(stage)
        stage.actions.create(stage.room.primary, "last", stage.at(5), stage.at(5, 1))
        await stage.until(lambda: len({item for told in receiver.told for item in told.items}) == 2)
        kinds = [kind for told in receiver.told for kind in told.kinds]
        assert kinds.count("CreatedEvent") == 2  # each is told once
        assert receiver.told[0].kinds == ["StatusEvent"]
        assert receiver.told[0].previous == watermark
        assert receiver.told[1].previous == receiver.told[0].watermark
        assert ended.codes == ["ErrorInvalidSubscription"]
        assert asked.codes == ["ErrorInvalidPullSubscriptionId"]


@pytest.mark.asyncio
async def test_a_sandbox_pushes_as_long_as_it_is_open() -> None:
    receiver = Receiver()
    server = await http.serve(receiver.handle, "127.0.0.1", 0)
    async with asyncio.timeout(20), opened(Plan("one-mailbox", control_port=None)) as sandbox:
        account, address = sandbox.founded.world.accounts[0], sandbox.founded.world.mailboxes[0].primary
        request = wire.envelope(wire.push(f"http://127.0.0.1:{server.port}/"), address)
        async with httpx2.AsyncClient(auth=(account.user, account.password)) as client:
            answer = await client.post(sandbox.exchange_url, content=request)
        await receiver.heard.wait()
    await server.close()

    assert wire.codes(etree.fromstring(answer.content)) == ["NoError"]
    assert receiver.told[0].kinds == ["StatusEvent"]
    assert [one.get_name() for one in sandbox.background if one.done()] == ["the post", "the pushing of notifications"]


@pytest.mark.asyncio
async def test_a_push_subscription_says_at_every_interval_that_it_is_there() -> None:
    async with staged(521, Settings(minute_s=0.05)) as stage, receiving(stage) as receiver:
        await subscribed(stage, wire.push(receiver.url))

        await stage.until(lambda: len(receiver.told) >= 3)

        assert {kind for told in receiver.told for kind in told.kinds} == {"StatusEvent"}


@pytest.mark.asyncio
async def test_a_receiver_ends_its_subscription_by_what_it_answers() -> None:
    async with staged(522, QUICK) as stage, receiving(stage) as receiver:
        receiver.status = "Unsubscribe"
        await subscribed(stage, wire.push(receiver.url))

        await stage.until(lambda: stage.exchange.counters()["subscriptions"] == 0)

        assert len(receiver.told) == 1


@pytest.mark.asyncio
async def test_a_receiver_that_fails_is_tried_again_and_loses_nothing() -> None:
    async with staged(523, Settings(minute_s=0.1, echo_s=(0.005, 0.01))) as stage, receiving(stage) as receiver:
        receiver.code = 500
        await subscribed(stage, wire.push(receiver.url, minutes=10))
        await stage.until(lambda: len(receiver.told) >= 2)
        _, theirs = stage.book()
        receiver.code = 200

        await stage.until(lambda: any(theirs.item_id in told.items for told in receiver.told))

        assert stage.exchange.counters()["subscriptions"] == 1


@pytest.mark.asyncio
async def test_a_receiver_that_stays_away_loses_its_subscription() -> None:
    async with staged(524, Settings(minute_s=0.05)) as stage, receiving(stage) as receiver:
        receiver.code = 503
        await subscribed(stage, wire.push(receiver.url, minutes=2))

        await stage.until(lambda: stage.exchange.counters()["subscriptions"] == 0)

        assert 2 <= len(receiver.told) <= 4
