"""Push subscriptions: SendNotification to the subscriber's own address, at once, at news and at every status interval.

The receiver answers OK, or Unsubscribe to end it. One that does not answer is tried again, ever later, until the status
interval has passed; then the subscription is gone. Only receivers on this machine are called: the sandbox calls nobody
else. Neighbours: subscriptions.py takes them on, events.py words the notifications, nodes.py hands new ones over.
"""

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from kalends_sandbox.exchange.events import History, notification
from kalends_sandbox.exchange.nodes import Nodes, Subscription
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.soap import (
    MESSAGES,
    Element,
    Fault,
    Refusal,
    envelope,
    local,
    need,
    read_envelope,
    t,
    text_of,
)

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_ACTION: Final = f'"{MESSAGES}/SendNotification"'
_ANSWER_S: Final = 30.0
_ANSWER_BYTES: Final = 65_536
_FIRST_RETRY: Final = 0.5  # of a minute; each further one takes twice as long


def address(request: Element) -> str:
    """Where the subscriber listens. Refused when it is no http address of this machine."""
    url = text_of(need(request, t("URL")))
    try:
        split = urlsplit(url)
        is_here = split.scheme == "http" and split.hostname in _LOOPBACK and (split.port or 80) > 0
    except ValueError:
        is_here = False
    if not is_here or not url.isascii() or not url.isprintable() or " " in url:
        raise Refusal("ErrorInvalidPushSubscriptionUrl", "The sandbox pushes to http addresses of this machine only.")
    return url


async def run(nodes: Nodes, settings: Settings) -> None:
    """Serves every push subscription until it is gone. Never ends by itself."""
    async with asyncio.TaskGroup() as group:
        while True:
            subscription = await nodes.pushed.get()
            group.create_task(_serve(nodes, settings, subscription), name="push")


async def _serve(nodes: Nodes, settings: Settings, subscription: Subscription) -> None:
    """The first notification proves that somebody listens; the others tell the news, or that there is none."""
    while nodes.lives(subscription):
        history = nodes.history(subscription.mailbox)
        told, until = notification(subscription.id, subscription.terms, history, subscription.place)
        if subscription.place < history.oldest or not await _delivered(settings, subscription, told):
            nodes.unsubscribe(subscription)
            return
        subscription.place = until
        with suppress(TimeoutError):
            async with asyncio.timeout(subscription.terms.patience_s):
                await _news(nodes, subscription, history)


async def _news(nodes: Nodes, subscription: Subscription, history: History) -> None:
    """Returns when there is something to tell, or nobody to tell it to any more."""
    terms = subscription.terms
    while nodes.lives(subscription) and not any(one.concerns(terms) for _, one in history.since(subscription.place)):
        subscription.news.clear()
        await subscription.news.wait()


async def _delivered(settings: Settings, subscription: Subscription, told: str) -> bool:
    """Whether the receiver has taken it and wants more. Tried until the status interval has passed."""
    wait_s = _FIRST_RETRY * settings.minute_s
    while True:
        answer = await _asked(settings, subscription.terms.url, told)
        if answer is not None:
            return answer == "OK"
        if wait_s > subscription.terms.patience_s:
            return False
        await asyncio.sleep(wait_s)
        wait_s *= 2


async def _asked(settings: Settings, url: str, told: str) -> str | None:
    """The SubscriptionStatus that the receiver answers; None when there is no answer that can be read."""
    content = (
        '<m:SendNotification><m:ResponseMessages><m:SendNotificationResponseMessage ResponseClass="Success">'
        f"<m:ResponseCode>NoError</m:ResponseCode>{told}</m:SendNotificationResponseMessage></m:ResponseMessages>"
        "</m:SendNotification>"
    )
    try:
        async with asyncio.timeout(_ANSWER_S):
            body = await _posted(urlsplit(url), envelope(content, settings.build))
        result = read_envelope(body)[1]
    except (OSError, TimeoutError, h11.RemoteProtocolError, Fault):
        return None
    if local(result) != "SendNotificationResult":
        return None
    return next((text_of(one) for one in result if local(one) == "SubscriptionStatus"), None)


async def _posted(url: SplitResult, body: bytes) -> bytes:
    """The body of a 200 answer; OSError for any other."""
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
    try:
        connection = h11.Connection(h11.CLIENT)
        headers = [
            *(("Host", url.netloc), ("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", _ACTION)),
            *(("Content-Length", str(len(body))), ("Connection", "close")),
        ]
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        request = connection.send(h11.Request(method="POST", target=path, headers=headers)) or b""
        writer.write(request + (connection.send(h11.Data(body)) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.close()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while len(found) <= _ANSWER_BYTES:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_ANSWER_BYTES))
        elif isinstance(event, h11.Response) and event.status_code != 200:
            break
        elif isinstance(event, h11.Data):
            found += event.data
        elif isinstance(event, h11.EndOfMessage):
            return bytes(found)
    raise OSError("The receiver did not answer with 200 and a short text.")
