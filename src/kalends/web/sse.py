"""Server-sent events as a response that ends: with its client, with the process, or when a client stops reading.

`messages` yields ready-made frames (see `frame`). Between them a comment goes out every `PING_SECONDS`, so that dead
connections are noticed on both sides and proxies keep the stream open.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0
SEND_SECONDS = 20.0
"""A client that can't take a frame for so long is let go; it comes back and gets the present state."""
PING = b": ping\n\n"
RETRY_MS = 2000


def frame(data: str, event: str = "", id_: str = "") -> bytes:
    """One message. Lines are kept; an id or event name must be a single line."""
    head = f"id: {id_}\n" if id_ else ""
    head += f"event: {event}\n" if event else ""
    return (head + "".join(f"data: {line}\n" for line in data.splitlines()) + "\n").encode()


class EventStream(Response):
    """Streams what `messages` yields. None means: nothing to say, still there."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[bytes | None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._send(send, f"retry: {RETRY_MS}\n\n".encode())
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(_gone(receive))
            talking = group.create_task(self._talk(send))
            await asyncio.wait((leaving, talking), return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            talking.cancel()

    async def _talk(self, send: Send) -> None:
        try:
            async with aclosing(self._messages):
                async for message in self._messages:
                    await self._send(send, PING if message is None else message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return  # the client is gone or asleep

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
