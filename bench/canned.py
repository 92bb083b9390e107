"""A server that answers meetings from memory: `python -m bench.canned RECORDING`, as a process of its own.

The recording is what the sandbox answered once. Both clients then get the same bytes for the same meeting, and the
server costs next to nothing. It prints its port, and ends with its standard input.
"""

import asyncio
import os
import pickle
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_OPERATION = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
_ID = re.compile(rb'ItemId [^>]*?Id="([^"]+)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MESSAGE = re.compile(rb"<m:GetItemResponseMessage.*?</m:GetItemResponseMessage>", re.DOTALL)
_FIELD = re.compile(rb"<t:(\w+)(?:\s[^>]*)?(?:/>|>.*?</t:\1>)", re.DOTALL)
_FOLDER = re.compile(rb'DistinguishedFolderId Id="(\w+)"')


@dataclass(frozen=True)
class Recording:
    """Answers as bytes: the view, each meeting's own message, and the two ends of a GetItem around them."""

    view: bytes
    head: bytes
    meetings: dict[bytes, bytes]
    tail: bytes
    folders: dict[bytes, bytes]
    """By distinguished name."""

    def answer(self, request: bytes) -> bytes:
        found = _OPERATION.search(request)
        operation = found[1] if found else b""
        if operation == b"GetItem":
            return self.head + b"".join(self.meetings[item] for item in _ID.findall(request)) + self.tail
        if operation == b"FindItem":
            return self.view
        assert operation == b"GetFolder", operation
        name = _FOLDER.search(request)
        assert name is not None, request
        return self.folders[name[1]]

    @classmethod
    def of(
        cls, view: bytes, items: list[bytes], fields: frozenset[str] | None, folders: dict[bytes, bytes]
    ) -> "Recording":
        """From whole answers: `items` are those to GetItem, in order. `fields`: all that is left of each meeting."""
        meetings: dict[bytes, bytes] = {}
        for answer in items:
            for one in _MESSAGE.findall(answer):
                [item] = _ID.findall(one)[:1]
                meetings[item] = one if fields is None else _only(fields, one)
        first = items[0]
        ends = [each.span() for each in _MESSAGE.finditer(first)]
        return cls(view, first[: ends[0][0]], meetings, first[ends[-1][1] :], folders)


def _only(fields: frozenset[str], message: bytes) -> bytes:
    before, _, rest = message.partition(b"<t:CalendarItem>")
    inner, _, after = rest.rpartition(b"</t:CalendarItem>")
    kept = (one[0] for one in _FIELD.finditer(inner) if one[1].decode() in fields)
    return before + b"<t:CalendarItem>" + b"".join(kept) + b"</t:CalendarItem>" + after


async def _serve(recording: Recording, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            answer = recording.answer(body)
            fields = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
            writer.write(fields % len(answer) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client is done
    finally:
        writer.close()


async def main(recording: Recording) -> None:
    server = await asyncio.start_server(lambda r, w: _serve(recording, r, w), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)  # whoever still holds a connection knows that it is over


if __name__ == "__main__":
    from bench import canned  # so that what was pickled there is found here

    asyncio.run(canned.main(pickle.loads(Path(sys.argv[1]).read_bytes())))
