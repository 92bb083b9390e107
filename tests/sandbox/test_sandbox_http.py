"""The sandbox's own HTTP server, asked by raw bytes: what it serves, what it refuses, and how it misbehaves on demand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from kalends_sandbox.http import Connection, Handler, Headers, Limits, Request, Response, Server, Trouble, serve

GET = b"GET /a/B?c=1 HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n"
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = await serve(handler, "127.0.0.1", 0, limits=limits)
    try:
        yield server
    finally:
        await server.close()


async def connect(server: Server) -> Talk:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def exchange(server: Server, sent: bytes) -> bytes:
    """Everything the server says until it closes."""
    reader, writer = await connect(server)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def to_the_end(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """What still arrives, and how it ends: in order, by reset, or in silence of a fifth of a second."""
    received = b""
    try:
        while more := await asyncio.wait_for(reader.read(10_000), 0.2):
            received += more
    except ConnectionResetError:
        return received, "reset"
    except TimeoutError:
        return received, "silence"
    return received, "end"


def answering(response: Callable[[], Response]) -> tuple[Handler, list[Request]]:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return response()

    return handler, seen


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def counting(number: int) -> AsyncGenerator[bytes, None]:
    for index in range(number):
        yield b"%d;" % index


@pytest.mark.asyncio
async def test_a_request_arrives_whole_with_its_headers_in_any_case() -> None:
    handler, seen = answering(lambda: Response(200, [("X-Said", "yes")], b"hello"))
    async with serving(handler) as server:
        answer = await exchange(server, GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))

    (request,) = seen
    assert (request.method, request.path, request.query, request.body) == ("GET", "/a/B", "c=1", b"")
    assert request.headers.get("X-TWICE") == "1"
    assert request.headers.get_all("x-Twice") == ["1", "2"]
    assert "absent" not in request.headers
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"X-Said: yes\r\n" in answer
    assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.asyncio
async def test_one_connection_carries_many_requests_and_keeps_its_state() -> None:
    class Visits(list[str]):
        pass

    async def handler(request: Request) -> Response:
        visits = request.connection.state(Visits)
        visits.append(request.path)
        return Response(200, [], " ".join(visits).encode())

    async with serving(handler) as server:
        reader, writer = await connect(server)
        for path in (b"/one", b"/two"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.readuntil(b"/" + path[1:])
        other = await exchange(server, b"GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        writer.close()

    assert answer.endswith(b"/one /two")
    assert other.endswith(b"\r\n\r\n/three")


@pytest.mark.asyncio
async def test_pipelined_requests_are_answered_in_order() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [], request.path.encode())

    async with serving(handler) as server:
        last = b"GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await exchange(server, b"".join(b"GET /%c HTTP/1.1\r\nHost: x\r\n\r\n" % one for one in b"ab") + last)

    assert [line for line in answer.replace(b"HTTP/1.1", b"\r\nHTTP/1.1").split(b"\r\n") if line.startswith(b"/")] == [
        b"/a", b"/b", b"/c",
    ]  # fmt: skip


@pytest.mark.asyncio
async def test_a_generator_is_sent_in_chunks_as_it_yields() -> None:
    gate = asyncio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await gate.wait()
        yield b"second"

    handler, _ = answering(lambda: Response(200, [], body()))
    async with (
        serving(handler) as server,
        httpx2.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{server.port}/") as response,
    ):
        chunks = response.aiter_bytes()
        first = await anext(chunks)
        gate.set()
        second = await anext(chunks)

    assert (first, second) == (b"first", b"second")
    assert response.headers["transfer-encoding"] == "chunked"


@pytest.mark.asyncio
async def test_an_answer_is_over_once_whether_it_ended_or_the_client_left() -> None:
    over: list[str] = []

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"tick"
                await asyncio.sleep(0.005)
        finally:
            over.append("generator")

    responses = iter([endless(), b"short"])
    handler, _ = answering(lambda: Response(200, [], next(responses), closed=lambda: over.append("answer")))
    async with serving(handler) as server:
        reader, writer = await connect(server)
        writer.write(GET)
        await reader.readuntil(b"tick")
        writer.close()
        await _until(lambda: len(over) == 2)
        await exchange(server, GET.replace(b"Host: x", b"Connection: close\r\nHost: x"))

    assert over == ["generator", "answer", "answer"]


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("It never came to be.")


@pytest.mark.asyncio
async def test_expect_100_continue_is_answered_before_the_body_comes() -> None:
    handler, seen = answering(lambda: Response(200, [], b"ok"))
    async with serving(handler) as server:
        reader, writer = await connect(server)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.write(b"body")
        await reader.readuntil(b"ok")
        writer.close()

    assert interim.startswith(b"HTTP/1.1 100")
    assert seen[0].body == b"body"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, "not HTTP at all"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 100_000 + b"\r\n\r\n", 431, "headers above the limit"),
        (post(b"z" * 101), 413, "a body above the limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_unreadable_or_too_large_is_refused_and_the_connection_ends(
    sent: bytes, status: int, reason: str
) -> None:
    handler, seen = answering(lambda: Response(200, [], b""))
    async with serving(handler, Limits(header_bytes=2000, body_bytes=100)) as server:
        answer = await exchange(server, sent)

    assert answer.startswith(b"HTTP/1.1 %d" % status), reason
    assert seen == []


@pytest.mark.asyncio
async def test_an_idle_connection_is_closed_quietly() -> None:
    handler, _ = answering(lambda: Response(200, [], b""))
    async with serving(handler, Limits(idle_s=0.02)) as server:
        assert await exchange(server, b"") == b""


@pytest.mark.asyncio
async def test_connections_above_the_limit_are_dropped() -> None:
    handler, _ = answering(lambda: Response(200, [], b""))
    async with serving(handler, Limits(connections=1)) as server:
        reader, writer = await connect(server)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        second, other = await connect(server)
        other.write(GET)
        received, _ = await to_the_end(second)
        writer.close()
        other.close()

    assert received == b""


@pytest.mark.asyncio
async def test_a_bug_in_the_handler_is_an_answer_and_the_next_request_works(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/bug":
            raise KeyError("private")
        return Response(200, [], b"fine")

    async with serving(handler) as server:
        reader, writer = await connect(server)
        writer.write(GET.replace(b"/a/B", b"/bug") + GET.replace(b"Host", b"Connection: close\r\nHost"))
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 500")
    assert b"private" not in answer
    assert answer.endswith(b"fine")
    assert "KeyError" in caplog.text


@pytest.mark.asyncio
async def test_closing_the_server_ends_open_streams() -> None:
    over: list[bool] = []
    never = asyncio.Event()

    async def waiting() -> AsyncGenerator[bytes, None]:
        yield b"begun"
        await never.wait()

    server = await serve(
        answering(lambda: Response(200, [], waiting(), closed=lambda: over.append(True)))[0], "127.0.0.1", 0
    )
    reader, writer = await connect(server)
    writer.write(GET)
    await reader.readuntil(b"begun")

    await server.close()

    assert over == [True]
    with pytest.raises(OSError, match=r"(?i)refused|connect"):
        await connect(server)
    writer.close()


# --- trouble


def whole_and_streamed() -> list[Callable[[Trouble], Response]]:
    return [
        lambda trouble: Response(200, [], b"x" * 1000, trouble),
        lambda trouble: Response(200, [], counting(1000), trouble),
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("make", whole_and_streamed(), ids=["whole", "streamed"])
@pytest.mark.parametrize("after_bytes", [0, 1, 60, 300])
async def test_an_answer_is_cut_after_exactly_so_many_bytes(
    make: Callable[[Trouble], Response], after_bytes: int
) -> None:
    handler, _ = answering(lambda: make(Trouble(then="close", after_bytes=after_bytes)))
    async with serving(handler) as server:
        assert len(await exchange(server, GET)) == after_bytes


@pytest.mark.asyncio
@pytest.mark.parametrize("after_bytes", [0, 40, None], ids=["before", "amid", "after"])
async def test_a_reset_is_seen_as_a_reset(after_bytes: int | None) -> None:
    handler, _ = answering(lambda: Response(200, [], b"body", Trouble(then="reset", after_bytes=after_bytes)))
    async with serving(handler) as server:
        reader, writer = await connect(server)
        writer.write(GET)
        received, ending = await to_the_end(reader)
        writer.close()

    assert ending == "reset"
    assert len(received) == after_bytes if after_bytes is not None else received.endswith(b"body")


@pytest.mark.asyncio
async def test_a_stream_is_ended_after_its_time() -> None:
    never = asyncio.Event()

    async def waiting() -> AsyncGenerator[bytes, None]:
        yield b"begun"
        await never.wait()

    handler, _ = answering(lambda: Response(200, [], waiting(), Trouble(then="close", after_s=0.02)))
    async with serving(handler) as server:
        answer = await exchange(server, GET)

    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.asyncio
async def test_in_silence_nothing_more_arrives_and_the_connection_stays() -> None:
    async def ticking() -> AsyncGenerator[bytes, None]:
        for index in range(1000):
            yield b"tick%d" % index
            await asyncio.sleep(0.002)

    handler, _ = answering(lambda: Response(200, [], ticking(), Trouble(then="silence", after_s=0.03)))
    async with serving(handler) as server:
        reader, writer = await connect(server)
        writer.write(GET)
        await reader.readuntil(b"tick0")
        received, ending = await to_the_end(reader)
        writer.close()

    assert received, "it fell silent only after a while"
    assert ending == "silence"


@pytest.mark.asyncio
async def test_a_slow_answer_trickles() -> None:
    handler, _ = answering(lambda: Response(200, [("Connection", "close")], b"x" * 100, Trouble(bytes_per_s=2000)))
    async with serving(handler) as server:
        began = asyncio.get_running_loop().time()
        answer = await exchange(server, GET)
        took_s = asyncio.get_running_loop().time() - began

    assert answer.endswith(b"x" * 100)
    assert took_s >= len(answer) / 2000 * 0.8


@pytest.mark.asyncio
async def test_connection_state_is_one_object_per_kind() -> None:
    connection = Connection(1, "127.0.0.1", is_secure=False)

    connection.state(list).append(1)  # type: ignore[type-var]

    assert connection.state(list) == [1]
    assert connection.state(dict) == {}


def test_headers_keep_their_order() -> None:
    headers = Headers([("B", "1"), ("A", "2"), ("b", "3")])

    assert list(headers) == [("b", "1"), ("a", "2"), ("b", "3")]
