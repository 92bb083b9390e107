"""GetStreamingEvents.

Neighbours: subscriptions.py makes what is listened to, nodes.py keeps subscriptions and streams, notifications.py fills
their queues.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from kalends_sandbox.exchange.nodes import Stream, Subscription
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Refusal,
    failure,
    m,
    need,
    need_number,
    some,
    stream_envelope,
    success,
    text,
    text_of,
    too_many_connections,
)
from kalends_sandbox.exchange.subscriptions import GONE, not_yours

_OPERATION: Final = "GetStreamingEvents"
_EVENTS_PER_NOTIFICATION: Final = 50

_NOT_STREAMING: Final = Refusal("ErrorInvalidSubscription", "The subscription is no streaming subscription.")


class Refused(Exception):
    """The stream does not begin: `content` is the one response message to send instead."""

    def __init__(self, content: str) -> None:
        super().__init__("The stream is refused.")
        self.content = content


def opened(site: Site, call: Call) -> tuple[Stream, float]:
    """The stream that a GetStreamingEvents asks for and its length in seconds; counted until `Nodes.close`."""
    ids = [text_of(one) for one in some(need(call.element, m("SubscriptionIds")))]
    minutes = need_number(text_of(need(call.element, m("ConnectionTimeout"))), "ConnectionTimeout", 1, 30)
    if len(ids) > site.settings.ids_per_stream:
        raise Refused(failure(_OPERATION, Refusal("ErrorInvalidRequest", "There are too many subscription ids.")))
    node = site.nodes.route(call.request.headers, call.account.user)
    found = {one: site.nodes.find(node, one) for one in ids}
    missing = [one for one, subscription in found.items() if subscription is None]
    if missing:
        raise Refused(_lost(missing))
    others = [one.id for one in found.values() if one is not None and one.terms.kind != "streaming"]
    if others:
        raise Refused(failure(_OPERATION, _NOT_STREAMING, _error_ids(others)))
    subscriptions = [subscription for subscription in found.values() if subscription is not None]
    foreign = [one.id for one in subscriptions if one.owner != call.account.user.lower()]
    if foreign:
        raise Refused(failure(_OPERATION, not_yours(), _error_ids(foreign)))
    if not site.nodes.may_open(call.charged):
        raise too_many_connections()
    return site.nodes.open(call.charged, subscriptions), minutes * site.settings.minute_s


async def documents(site: Site, stream: Stream, length_s: float) -> AsyncGenerator[bytes, None]:
    """The stream's envelopes: OK at once, events as they come, OK as heartbeat, and Closed at the end of its time."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + length_s
    yield _status(site, "OK")
    beat = loop.time() + site.settings.heartbeat_s
    while loop.time() < ends:
        try:
            async with asyncio.timeout_at(min(beat, ends)):
                await stream.news.wait()
        except TimeoutError:
            if loop.time() < ends:
                yield _status(site, "OK")
                beat = loop.time() + site.settings.heartbeat_s
            continue
        for content in _news(stream):
            yield stream_envelope(content, site.settings.build)
        beat = loop.time() + site.settings.heartbeat_s
        if not stream.subscriptions:
            break
    yield _status(site, "Closed")


def _news(stream: Stream) -> Iterable[str]:
    """What is new, as response messages; the stream's notes are taken first, so that nothing new is overlooked."""
    stream.news.clear()
    fresh, stream.fresh = list(stream.fresh.values()), {}
    lost, stream.lost = stream.lost, []
    if lost:
        yield _lost(lost)
    notifications = "".join(_notification(one) for one in fresh if one.queue)
    if notifications:
        yield success(_OPERATION, f"<m:Notifications>{notifications}</m:Notifications>")
    for one in fresh:
        if one.queue:  # more than one notification holds
            stream.hear(one)


def _notification(subscription: Subscription) -> str:
    queue = subscription.queue
    events = "".join(queue.popleft() for _ in range(min(_EVENTS_PER_NOTIFICATION, len(queue))))
    more = "<t:MoreEvents>true</t:MoreEvents>" if queue else ""
    return (
        f"<m:Notification><t:SubscriptionId>{text(subscription.id)}</t:SubscriptionId>{more}{events}</m:Notification>"
    )


def _lost(ids: list[str]) -> str:
    return failure(_OPERATION, Refusal("ErrorSubscriptionNotFound", GONE), _error_ids(ids))


def _error_ids(ids: list[str]) -> str:
    inside = "".join(f"<m:SubscriptionId>{text(one)}</m:SubscriptionId>" for one in ids)
    return f"<m:ErrorSubscriptionIds>{inside}</m:ErrorSubscriptionIds>"


def _status(site: Site, status: str) -> bytes:
    content = success(_OPERATION, f"<m:ConnectionStatus>{status}</m:ConnectionStatus>")
    return stream_envelope(content, site.settings.build)
