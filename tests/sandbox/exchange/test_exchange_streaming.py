"""Subscriptions and streams by raw SOAP: what is told, when, to whom, on which node, and what happens when it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from lxml import etree

from kalends_sandbox.actions import Change
from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.nodes import OVERRIDE_COOKIE
from sandbox.exchange import wire
from sandbox.exchange.stage import Answer, Stage, staged

QUICK = Settings(minute_s=0.6, heartbeat_s=0.15, echo_s=(0.005, 0.01))
END = b"</Envelope>"


@dataclass
class Listener:
    """Reads a stream's documents as they come."""

    documents: list[etree._Element] = field(default_factory=list)
    raw: bytes = b""

    async def read(self, response: httpx2.Response) -> None:
        async for chunk in response.aiter_raw():
            self.raw += chunk
            while END in self.raw:
                document, _, self.raw = self.raw.partition(END)
                self.documents.append(etree.fromstring(document + END))

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """(subscription, kind, item id or empty for a folder's), in order."""
        found = []
        for document in self.documents:
            for notification in document.iter(f"{{{wire.M}}}Notification"):
                (subscription,) = wire.texts(notification, "t:SubscriptionId")
                for event in notification:
                    kind = etree.QName(event).localname
                    if kind.endswith("Event"):
                        item = event.find("t:ItemId", wire.NS)
                        found.append((subscription, kind, "" if item is None else str(item.get("Id"))))
        return found

    @property
    def statuses(self) -> list[str]:
        return [status for document in self.documents for status in wire.texts(document, ".//m:ConnectionStatus")]


@asynccontextmanager
async def listening(
    stage: Stage, *ids: str, as_: str | None = None, headers: dict[str, str] | None = None, minutes: int = 30
) -> AsyncIterator[Listener]:
    body = wire.envelope(wire.stream(*ids, minutes=minutes), as_ or stage.room.primary)
    listener = Listener()
    stage.client.cookies.clear()
    request = {"content": body, "headers": {**stage.account_headers(), **(headers or {})}}
    async with stage.client.stream("POST", stage.url, **request) as response:  # type: ignore[arg-type]
        reading = asyncio.create_task(listener.read(response))
        await stage.until(lambda: bool(listener.documents))
        try:
            yield listener
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def subscribed(
    stage: Stage, mailbox: str | None = None, headers: dict[str, str] | None = None, **kinds: object
) -> str:
    answer = await stage.ask(wire.subscribe(**kinds), mailbox or stage.room.primary, headers)  # type: ignore[arg-type]
    assert answer.codes == ["NoError"]
    (found,) = wire.texts(answer.tree, ".//m:SubscriptionId")
    return found


async def refused(stage: Stage, *ids: str, headers: dict[str, str] | None = None, as_: str | None = None) -> Answer:
    return await stage.ask(wire.stream(*ids), as_ or stage.room.primary, headers)


@pytest.mark.asyncio
async def test_a_stream_says_ok_at_once_beats_and_closes_at_its_time() -> None:
    async with staged(80, QUICK) as stage:
        subscription = await subscribed(stage)
        async with listening(stage, subscription, minutes=1) as listener:
            begun = list(listener.statuses)
            await stage.until(lambda: "Closed" in listener.statuses)
            await stage.until(lambda: stage.exchange.nodes.streams_open == 0)

        assert begun == ["OK"]
        assert listener.statuses[-1] == "Closed"
        assert 3 <= listener.statuses.count("OK") <= 5
        assert listener.events == []


@pytest.mark.asyncio
async def test_every_change_makes_three_to_eight_events_and_the_first_comes_at_once() -> None:
    async with staged(81, QUICK) as stage:
        subscription = await subscribed(stage, stage.ann.primary)
        async with listening(stage, subscription, as_=stage.ann.primary) as listener:
            counts: list[int] = []
            mine = stage.actions.create(stage.ann.primary, "one", stage.at(1), stage.at(2))
            for act in (
                lambda: stage.actions.edit(stage.ann.primary, mine.uid, Change(subject="other")),
                lambda: stage.actions.refile(stage.ann.primary, mine.uid),
                lambda: stage.actions.remove(stage.ann.primary, mine.uid, hard=True),
                lambda: None,
            ):
                await asyncio.sleep(0.06)
                counts.append(len(listener.events) - sum(counts))
                act()

        assert all(3 <= count <= 8 for count in counts), counts
        kinds = [kind for _, kind, _ in listener.events]
        assert kinds[0] == "CreatedEvent"
        assert set(kinds) == {"CreatedEvent", "ModifiedEvent", "MovedEvent", "DeletedEvent", "FreeBusyChangedEvent"}
        keys = {
            found.get("ChangeKey") for document in listener.documents for found in document.iter(f"{{{wire.T}}}ItemId")
        }
        assert keys == {"CQAAAA=="}


@pytest.mark.asyncio
async def test_only_the_kinds_and_folders_subscribed_to_are_told() -> None:
    async with staged(82, QUICK) as stage:
        only_deleted = await subscribed(stage, events=("DeletedEvent",))
        inbox = await subscribed(stage, folder='<t:DistinguishedFolderId Id="inbox"/>')
        other = await subscribed(stage, stage.other_room.primary, {"X-AnchorMailbox": ""})
        async with listening(stage, only_deleted, inbox, other) as listener:
            _, theirs = stage.book()
            stage.actions.remove(stage.room.primary, theirs.uid, hard=True)
            await stage.until(lambda: bool(listener.events))
            await asyncio.sleep(0.05)

        assert listener.events == [(only_deleted, "DeletedEvent", theirs.item_id)]


@pytest.mark.asyncio
async def test_one_stream_carries_many_mailboxes() -> None:
    async with staged(83, QUICK) as stage:
        anchor = {"X-AnchorMailbox": stage.ann.primary}
        people = [stage.ann, stage.bob, stage.room]
        ids = [await subscribed(stage, mailbox.primary, anchor) for mailbox in people]
        async with listening(stage, *ids, as_=stage.ann.primary, headers=anchor) as listener:
            _, theirs = stage.book()
            bobs = stage.copy(stage.bob, theirs.uid)
            await stage.until(lambda: {one for one, _, _ in listener.events} == set(ids))

        assert (ids[1], "CreatedEvent", bobs.item_id) in listener.events
        assert (ids[2], "CreatedEvent", theirs.item_id) in listener.events


@pytest.mark.asyncio
async def test_events_wait_for_the_next_stream_while_the_subscription_lives() -> None:
    async with staged(84, QUICK) as stage:
        subscription = await subscribed(stage)
        async with listening(stage, subscription):
            pass
        await stage.until(lambda: stage.exchange.nodes.streams_open == 0)
        _, theirs = stage.book()

        async with listening(stage, subscription) as listener:
            await stage.until(lambda: (subscription, "CreatedEvent", theirs.item_id) in listener.events)


@pytest.mark.asyncio
async def test_a_subscription_without_a_stream_expires() -> None:
    async with staged(85, Settings(subscription_idle_s=0.05)) as stage:
        subscription = await subscribed(stage)
        assert stage.exchange.counters()["subscriptions"] == 1
        await asyncio.sleep(0.08)

        answer = await refused(stage, subscription)

        assert stage.exchange.counters()["subscriptions"] == 0
        assert answer.codes == ["ErrorSubscriptionNotFound"]


@pytest.mark.asyncio
async def test_more_events_than_one_notification_holds_come_in_several() -> None:
    async with staged(86, QUICK) as stage:
        subscription = await subscribed(stage, stage.ann.primary)
        for _ in range(30):
            stage.actions.create(stage.ann.primary, "one of many", stage.at(1), stage.at(2))

        async with listening(stage, subscription, as_=stage.ann.primary) as listener:
            await stage.until(lambda: [kind for _, kind, _ in listener.events].count("CreatedEvent") == 30)

        sizes = [len(found) for document in listener.documents for found in document.iter(f"{{{wire.M}}}Notification")]
        assert max(sizes) <= 52  # the id, MoreEvents and fifty events


@pytest.mark.asyncio
async def test_a_subscription_that_nobody_empties_is_lost_in_the_end() -> None:
    async with staged(87, Settings(queued_events=20)) as stage:
        subscription = await subscribed(stage, stage.ann.primary)
        for _ in range(20):
            stage.actions.create(stage.ann.primary, "one of many", stage.at(1), stage.at(2))

        assert (await refused(stage, subscription)).codes == ["ErrorSubscriptionNotFound"]


# --- affinity


@pytest.mark.asyncio
async def test_a_subscription_is_found_only_where_the_anchor_or_the_cookie_leads() -> None:
    async with staged(88, QUICK) as stage:
        nodes = stage.exchange.nodes
        others = [
            box.primary
            for box in stage.world.mailboxes
            if nodes.home(box.primary) is not nodes.home(stage.room.primary)
        ]
        right = {"X-AnchorMailbox": stage.room.primary, "X-PreferServerAffinity": "true"}
        wrong = {"X-AnchorMailbox": others[0], "X-PreferServerAffinity": "true"}
        answer = await stage.ask(wire.subscribe(), stage.room.primary, right)
        (subscription,) = wire.texts(answer.tree, ".//m:SubscriptionId")
        cookies = dict(cookie.split(";")[0].split("=", 1) for cookie in answer.headers.get_list("Set-Cookie"))
        cookie = {"Cookie": f"{OVERRIDE_COOKIE}={cookies[OVERRIDE_COOKIE]}"}
        other_node = next(node for node in nodes.nodes if node is not nodes.home(stage.room.primary))

        lost = await refused(stage, subscription, headers=wrong)
        misled = await refused(
            stage, subscription, headers={**right, "Cookie": f"{OVERRIDE_COOKIE}={other_node.cookie}"}
        )
        again = await stage.ask(wire.subscribe(), stage.room.primary, {**right, **cookie})
        async with listening(stage, subscription, headers={**wrong, **cookie}) as by_cookie:
            pass
        async with listening(stage, subscription, headers=right) as by_anchor:
            pass

        for answer in (lost, misled):
            assert answer.codes == ["ErrorSubscriptionNotFound"]
            assert wire.texts(answer.tree, ".//m:ErrorSubscriptionIds/m:SubscriptionId") == [subscription]
        assert not any(OVERRIDE_COOKIE in cookie for cookie in again.headers.get_list("Set-Cookie"))
        assert (by_cookie.statuses, by_anchor.statuses) == (["OK"], ["OK"])


@pytest.mark.asyncio
async def test_one_bad_id_fails_the_call_and_is_named() -> None:
    async with staged(89, QUICK) as stage:
        good = await subscribed(stage)

        answer = await refused(stage, good, "bm9uZQ==")

        assert answer.codes == ["ErrorSubscriptionNotFound"]
        assert wire.texts(answer.tree, ".//m:ErrorSubscriptionIds/m:SubscriptionId") == ["bm9uZQ=="]
        assert stage.exchange.nodes.streams_open == 0


# --- rights and limits


@pytest.mark.asyncio
async def test_a_subscription_belongs_to_the_account_that_made_it() -> None:
    async with staged(90, QUICK) as stage:
        narrow = stage.account_headers("narrow", "narrow")
        anchor = {"X-AnchorMailbox": stage.room.primary}
        subscription = await subscribed(stage, headers=anchor)

        stolen = await refused(stage, subscription, headers={**narrow, **anchor})
        ended = await stage.ask(wire.unsubscribe(subscription), stage.room.primary, {**narrow, **anchor})

        assert stolen.codes == ended.codes == ["ErrorSubscriptionAccessDenied"]
        assert stage.exchange.counters()["subscriptions"] == 1


@pytest.mark.asyncio
async def test_another_mailboxs_folder_cannot_be_subscribed_to() -> None:
    async with staged(91, QUICK) as stage:
        folder = '<t:DistinguishedFolderId Id="calendar"><t:Mailbox><t:EmailAddress>bob@north.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>'  # noqa: E501

        answer = await stage.ask(wire.subscribe(folder), stage.ann.primary)

        assert answer.codes == ["ErrorSubscriptionDelegateAccessNotSupported"]


@pytest.mark.asyncio
async def test_subscriptions_are_limited_per_mailbox_and_freed_by_unsubscribing() -> None:
    async with staged(93, Settings(subscriptions_per_mailbox=2)) as stage:
        first = await subscribed(stage)
        await subscribed(stage)

        third = await stage.ask(wire.subscribe(), stage.room.primary)
        ended = await stage.ask(wire.unsubscribe(first), stage.room.primary)
        twice = await stage.ask(wire.unsubscribe(first), stage.room.primary)

        assert third.codes == ["ErrorExceededSubscriptionCount"]
        assert ended.codes == ["NoError"]
        assert twice.codes == ["ErrorSubscriptionNotFound"]
        assert await subscribed(stage)


@pytest.mark.asyncio
async def test_open_streams_are_limited_per_mailbox_impersonated() -> None:
    async with staged(94, Settings(hanging_connections=1)) as stage:
        anchor = {"X-AnchorMailbox": stage.room.primary}
        one, two = await subscribed(stage, headers=anchor), await subscribed(stage, headers=anchor)
        async with listening(stage, one, headers=anchor):
            answer = await refused(stage, two, headers=anchor)
            async with listening(stage, two, as_=stage.ann.primary, headers=anchor) as other:
                pass
        await stage.until(lambda: stage.exchange.nodes.streams_open == 0)

        assert (answer.status, answer.codes) == (500, ["ErrorExceededConnectionCount"])
        assert other.statuses == ["OK"]
        async with listening(stage, two, headers=anchor) as freed:
            assert freed.statuses == ["OK"]


@pytest.mark.asyncio
async def test_a_stream_takes_at_most_so_many_ids() -> None:
    async with staged(95, Settings(ids_per_stream=2)) as stage:
        ids = [await subscribed(stage) for _ in range(3)]

        assert (await refused(stage, *ids)).codes == ["ErrorInvalidRequest"]
        async with listening(stage, *ids[:2]) as listener:
            assert listener.statuses == ["OK"]


# --- loss on demand


@pytest.mark.asyncio
async def test_dropped_subscriptions_are_told_to_the_open_stream_by_id() -> None:
    async with staged(96, QUICK) as stage:
        anchor = {"X-AnchorMailbox": stage.room.primary}
        kept = await subscribed(stage, headers=anchor)
        lost = await subscribed(stage, stage.other_room.primary, anchor)
        async with listening(stage, kept, lost, headers=anchor) as listener:
            assert stage.exchange.drop_subscriptions("ROOM2@*") == 1
            await stage.until(lambda: len(listener.documents) == 2)
            named = wire.texts(listener.documents[1], ".//m:ErrorSubscriptionIds/m:SubscriptionId")
            _, theirs = stage.book()
            await stage.until(lambda: (kept, "CreatedEvent", theirs.item_id) in listener.events)
            assert stage.exchange.drop_subscriptions() == 1
            await stage.until(lambda: "Closed" in listener.statuses)

        assert named == [lost]


@pytest.mark.asyncio
async def test_a_newer_stream_takes_a_subscription_over() -> None:
    async with staged(97, QUICK) as stage:
        subscription = await subscribed(stage)
        async with listening(stage, subscription) as old, listening(stage, subscription) as new:
            await stage.until(lambda: "Closed" in old.statuses)
            _, theirs = stage.book()
            await stage.until(lambda: (subscription, "CreatedEvent", theirs.item_id) in new.events)

        assert old.events == []


# --- faults of notifications


@pytest.mark.asyncio
async def test_a_lost_notification_takes_all_events_of_its_change() -> None:
    async with staged(98, QUICK) as stage:
        subscription = await subscribed(stage, stage.ann.primary)
        stage.faults.add("lose_notification", mailbox="ann@*", operation="Notification", count=1)
        async with listening(stage, subscription, as_=stage.ann.primary) as listener:
            first = stage.actions.create(stage.ann.primary, "lost", stage.at(1), stage.at(2))
            second = stage.actions.create(stage.ann.primary, "told", stage.at(1), stage.at(2))
            await stage.until(lambda: bool(listener.events))
            await asyncio.sleep(0.05)

        told = {item_id for _, _, item_id in listener.events}
        assert first.item_id not in told
        assert second.item_id in told


@pytest.mark.asyncio
async def test_a_doubled_notification_comes_as_often_as_asked() -> None:
    async with staged(99, QUICK) as stage:
        subscription = await subscribed(stage, stage.ann.primary, events=("CreatedEvent",))
        stage.faults.add("double_notification", parameters={"times": 4})
        async with listening(stage, subscription, as_=stage.ann.primary) as listener:
            stage.actions.create(stage.ann.primary, "again", stage.at(1), stage.at(2))
            await stage.until(lambda: len(listener.events) == 4)
            await asyncio.sleep(0.05)

        assert len(listener.events) == 4


@pytest.mark.asyncio
async def test_a_late_notification_comes_later() -> None:
    async with staged(100, QUICK) as stage:
        subscription = await subscribed(stage, stage.ann.primary)
        stage.faults.add("late_notification", parameters={"delay_s": 0.1})
        async with listening(stage, subscription, as_=stage.ann.primary) as listener:
            stage.actions.create(stage.ann.primary, "late", stage.at(1), stage.at(2))
            await asyncio.sleep(0.04)
            early = list(listener.events)
            await stage.until(lambda: bool(listener.events))

        assert early == []
