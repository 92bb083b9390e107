"""The network: asyncio streams and protocols on it, how connections end, and what the hooks do."""

import asyncio
import random
import socket
import ssl
import struct
from collections.abc import Callable

import pytest
import trustme

from kalends_sim.loop import SimLoop
from kalends_sim.network import Cut, Delivery, Silence, between
from kalends_sim.simulation import run
from kalends_sim.transport import WINDOW_BYTES

HOST, PORT = "127.0.0.1", 8080
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Accepted:
    """A server that hands out the streams of each connection it gets."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Streams] = asyncio.Queue()
        self.server: asyncio.AbstractServer

    @classmethod
    async def listening(cls, port: int = PORT, **options: object) -> "Accepted":
        self = cls()
        self.server = await asyncio.start_server(self._accept, HOST, port, **options)
        return self

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._queue.put((reader, writer))

    async def next(self) -> Streams:
        return await self._queue.get()


async def pair(**options: object) -> tuple[Streams, Streams]:
    """(client, server) ends of a fresh connection."""
    accepted = await Accepted.listening(**options)
    client = await asyncio.open_connection(HOST, PORT)
    return client, await accepted.next()


def linger_zero(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def on_data(towards: str, number: int, verdict: Cut | Silence) -> Callable[[Delivery, random.Random], object]:
    def faults(delivery: Delivery, rng: random.Random) -> Cut | Silence | None:
        is_it = delivery.kind == "data" and delivery.route.towards == towards and delivery.number == number
        return verdict if is_it else None

    return faults


def test_bytes_arrive_in_order_whatever_the_latency_and_the_chunks() -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.latency = between(0.001, 2.0)
        (reader, writer), (server_reader, server_writer) = await pair()
        rng = loop.randomness("chunks")
        sent, echoed = rng.randbytes(300_000), rng.randbytes(300_000)

        async def send(out: asyncio.StreamWriter, data: bytes) -> None:
            while data:
                size = rng.randint(1, 9000)
                out.write(data[:size])
                data = data[size:]
                await out.drain()
            out.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send(writer, sent))
            group.create_task(send(server_writer, echoed))
            got, got_back = group.create_task(server_reader.read()), group.create_task(reader.read())

        assert got.result() == sent
        assert got_back.result() == echoed
        assert loop.time() > 1

    for seed in range(3):
        run(main, seed)


def test_a_peer_that_does_not_read_makes_its_writer_wait() -> None:
    async def main(loop: SimLoop) -> None:
        (_reader, writer), (server_reader, _server_writer) = await pair()
        data = bytes(4 * 1024 * 1024)

        writer.write(data)
        draining = loop.create_task(writer.drain())
        await asyncio.sleep(60)
        unread = len(data) - writer.transport.get_write_buffer_size()

        assert not draining.done()
        assert unread < 400 * 1024
        assert len(await server_reader.readexactly(len(data))) == len(data)
        await draining
        assert writer.transport.get_write_buffer_size() == 0

    run(main, 1)


def test_close_still_sends_what_is_buffered_then_the_end() -> None:
    async def main(loop: SimLoop) -> None:
        (_reader, writer), (server_reader, server_writer) = await pair()
        data = loop.randomness("data").randbytes(5 * WINDOW_BYTES)

        writer.write(data)
        writer.close()
        got = await server_reader.read()
        server_writer.close()
        await writer.wait_closed()

        assert got == data
        await asyncio.sleep(1)
        assert loop.network.open_connections == 0

    run(main, 1)


def test_one_direction_may_end_while_the_other_goes_on() -> None:
    async def main(loop: SimLoop) -> None:
        (reader, writer), (server_reader, server_writer) = await pair()

        writer.write(b"question")
        writer.write_eof()
        asked = await server_reader.read()
        await asyncio.sleep(100)
        server_writer.write(b"answer")
        server_writer.close()

        assert (asked, await reader.read()) == (b"question", b"answer")
        with pytest.raises(RuntimeError, match="write_eof"):
            writer.write(b"more")

    run(main, 1)


@pytest.mark.parametrize("how", ["abort", "linger"])
def test_a_reset_is_read_after_the_bytes_before_it(how: str) -> None:
    async def main(loop: SimLoop) -> None:
        (reader, _writer), (_server_reader, server_writer) = await pair()

        server_writer.write(b"half of ")
        if how == "abort":
            server_writer.transport.abort()
        else:
            linger_zero(server_writer)
            server_writer.close()

        assert await reader.readexactly(8) == b"half of "
        with pytest.raises(ConnectionResetError):
            await reader.read(1)

    run(main, 1)


def test_bytes_for_a_closed_end_are_answered_by_a_reset() -> None:
    async def main(loop: SimLoop) -> None:
        (reader, writer), (_server_reader, server_writer) = await pair()
        server_writer.close()
        assert await reader.read() == b""

        writer.write(b"anyone there?")
        await asyncio.sleep(1)

        assert writer.transport.is_closing()
        with pytest.raises(ConnectionResetError):
            await writer.drain()

    run(main, 1)


def test_closing_with_unread_bytes_resets_the_peer() -> None:
    async def main(loop: SimLoop) -> None:
        (reader, writer), (_server_reader, server_writer) = await pair()
        server_writer.transport.pause_reading()
        writer.write(b"never read")
        await asyncio.sleep(1)

        server_writer.close()

        with pytest.raises(ConnectionResetError):
            await reader.read()

    run(main, 1)


def test_an_end_that_pauses_reading_learns_of_a_reset_when_it_writes() -> None:
    async def main(loop: SimLoop) -> tuple[bool, bool]:
        (_reader, writer), (_server_reader, server_writer) = await pair()
        writer.transport.pause_reading()
        server_writer.transport.abort()
        await asyncio.sleep(10)
        before = writer.transport.is_closing()

        writer.write(b"still there?")

        return before, writer.transport.is_closing()

    assert run(main, 1).result == (False, True)


def test_nothing_is_delivered_while_reading_is_paused() -> None:
    class Listener(asyncio.Protocol):
        def __init__(self) -> None:
            self.got = b""

        def data_received(self, data: bytes) -> None:
            self.got += data

    async def main(loop: SimLoop) -> None:
        accepted = await Accepted.listening()
        transport, listener = await loop.create_connection(Listener, HOST, PORT)
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(listener, Listener)
        _server_reader, server_writer = await accepted.next()

        transport.pause_reading()
        server_writer.write(b"patience")
        await asyncio.sleep(5)
        paused = listener.got
        transport.resume_reading()
        await asyncio.sleep(5)

        assert (paused, listener.got) == (b"", b"patience")

    run(main, 1)


def test_a_buffered_protocol_is_fed_through_its_own_buffer() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer, self.got, self.has_ended = bytearray(7), b"", False

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(self.buffer[:nbytes])

        def eof_received(self) -> None:
            self.has_ended = True

    async def main(loop: SimLoop) -> None:
        accepted = await Accepted.listening()
        transport, protocol = await loop.create_connection(Buffered, HOST, PORT)
        assert isinstance(protocol, Buffered)
        _server_reader, server_writer = await accepted.next()

        server_writer.write(b"seven bytes at a time")
        server_writer.close()
        await asyncio.sleep(1)

        assert protocol.got == b"seven bytes at a time"
        assert protocol.has_ended
        assert transport.is_closing()

    run(main, 1)


def test_a_protocol_told_of_low_water_marks_pauses_at_the_first_unsent_byte() -> None:
    class Watcher(asyncio.Protocol):
        def __init__(self) -> None:
            self.told: list[str] = []

        def pause_writing(self) -> None:
            self.told.append("pause")

        def resume_writing(self) -> None:
            self.told.append("resume")

    async def main(loop: SimLoop) -> list[str]:
        accepted = await Accepted.listening()
        transport, watcher = await loop.create_connection(Watcher, HOST, PORT)
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(watcher, Watcher)
        server_reader, server_writer = await accepted.next()
        transport.set_write_buffer_limits(0)
        server_writer.transport.pause_reading()

        transport.write(bytes(WINDOW_BYTES))
        within = list(watcher.told)
        transport.write(b"!")
        assert within == []
        assert watcher.told == ["pause"]
        server_writer.transport.resume_reading()
        await server_reader.readexactly(WINDOW_BYTES + 1)
        return watcher.told

    assert run(main, 1).result == ["pause", "resume"]


def test_a_mistake_in_a_protocol_ends_its_connection_and_fails_the_run() -> None:
    class Broken(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise LookupError("broken protocol")

    async def main(loop: SimLoop) -> None:
        accepted = await Accepted.listening()
        transport, _ = await loop.create_connection(Broken, HOST, PORT)
        server_reader, server_writer = await accepted.next()
        server_writer.write(b"boom")
        with pytest.raises(ConnectionResetError):
            await server_reader.read()
        assert transport.is_closing()

    with pytest.raises(RuntimeError, match="broken protocol"):
        run(main, 1)


def test_nobody_listening_is_a_refused_connection() -> None:
    async def main(loop: SimLoop) -> None:
        with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:9"):
            await asyncio.open_connection(HOST, 9)

    run(main, 1)


def test_a_closed_server_refuses_new_connections_and_keeps_open_ones() -> None:
    async def main(loop: SimLoop) -> None:
        accepted = await Accepted.listening()
        reader, _writer = await asyncio.open_connection(HOST, PORT)
        _server_reader, server_writer = await accepted.next()

        accepted.server.close()
        waiting = loop.create_task(accepted.server.wait_closed())
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, PORT)
        server_writer.write(b"goodbye")
        assert await reader.readexactly(7) == b"goodbye"
        assert not waiting.done()

        server_writer.close()
        await waiting

    run(main, 1)


def test_a_port_can_be_taken_once_and_again_after_it_is_closed() -> None:
    async def main(loop: SimLoop) -> None:
        first = await Accepted.listening()
        with pytest.raises(OSError, match="use another port"):
            await Accepted.listening()

        first.server.close()
        await first.server.wait_closed()

        assert (await Accepted.listening()).server.is_serving()

    run(main, 1)


def test_port_zero_takes_a_free_port_that_sockets_tells() -> None:
    async def main(loop: SimLoop) -> list[int]:
        servers = [await asyncio.start_server(lambda r, w: None, HOST, 0) for _ in range(3)]
        return [server.sockets[0].getsockname()[1] for server in servers]

    ports = run(main, 1).result

    assert len(set(ports)) == 3
    assert all(port > 1024 for port in ports)


def test_serve_forever_ends_with_its_task() -> None:
    async def main(loop: SimLoop) -> bool:
        server = await asyncio.start_server(lambda r, w: None, HOST, PORT, start_serving=False)
        before = server.is_serving()
        serving = loop.create_task(server.serve_forever())
        await asyncio.sleep(1)
        assert server.is_serving()
        assert not before

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return server.is_serving()

    assert run(main, 1).result is False


def test_names_are_answered_in_memory() -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.names["mail.example.org"] = "10.0.0.5"

        known = await loop.getaddrinfo("mail.example.org", 443)

        assert known[0][4] == ("10.0.0.5", 443)
        assert (await loop.getaddrinfo("localhost", 80))[0][4] == ("127.0.0.1", 80)
        with pytest.raises(socket.gaierror, match=r"no host 'other\.example\.org'"):
            await asyncio.open_connection("other.example.org", 443)

    run(main, 1)


def test_latency_is_one_round_trip_to_connect_and_one_way_for_bytes() -> None:
    async def main(loop: SimLoop) -> tuple[float, float]:
        loop.network.latency = lambda delivery, rng: 0.1
        (reader, _writer), (_server_reader, server_writer) = await pair()
        connected = loop.time()
        server_writer.write(b"x")
        await reader.readexactly(1)
        return connected, loop.time() - connected

    connected, carried = run(main, 1).result

    assert connected == pytest.approx(0.2)
    assert carried == pytest.approx(0.1)


def test_a_cut_delivers_its_first_bytes_and_resets_both_ends() -> None:
    async def main(loop: SimLoop) -> None:
        (reader, _writer), (server_reader, server_writer) = await pair()
        loop.network.faults = on_data("client", 2, Cut(keep_bytes=4))

        server_writer.write(b"whole,")
        server_writer.write(b"halfway")

        assert await reader.readexactly(10) == b"whole,half"
        for end in (reader, server_reader):
            with pytest.raises(ConnectionResetError):
                await end.read()

    run(main, 1)


def test_silence_swallows_everything_from_there_on_and_tells_nobody() -> None:
    async def main(loop: SimLoop) -> None:
        (reader, writer), (server_reader, server_writer) = await pair()
        loop.network.faults = on_data("client", 2, Silence())

        server_writer.write(b"heard")
        server_writer.write(b"lost")
        server_writer.close()
        writer.write(b"still works")

        assert await reader.readexactly(5) == b"heard"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await reader.read(1)
        assert not writer.transport.is_closing()
        assert await server_reader.read() == b""

    run(main, 1)


def test_an_attempt_to_connect_can_be_refused_or_left_without_answer() -> None:
    async def main(loop: SimLoop) -> float:
        await Accepted.listening()
        loop.network.faults = lambda delivery, rng: Cut() if delivery.kind == "connect" else None
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, PORT)
        loop.network.faults = lambda delivery, rng: Silence() if delivery.kind == "connect" else None
        with pytest.raises(TimeoutError, match="127 seconds"):
            await asyncio.open_connection(HOST, PORT)
        return loop.time()

    assert run(main, 1).result == 127


def test_giving_up_while_connecting_leaves_no_connection_behind() -> None:
    async def main(loop: SimLoop) -> int:
        accepted = await Accepted.listening()
        loop.network.latency = lambda delivery, rng: 1.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.open_connection(HOST, PORT)
        reader, _writer = await accepted.next()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        return loop.network.open_connections

    assert run(main, 1).result == 0


def test_cutting_a_port_resets_its_connections_and_no_others() -> None:
    async def main(loop: SimLoop) -> None:
        ends = []
        for port in (PORT, PORT, PORT + 1):
            if not ends or port != PORT:
                await Accepted.listening(port)
            ends.append(await asyncio.open_connection(HOST, port))

        cut = loop.network.cut(PORT)

        assert cut == 2
        for reader, _ in ends[:2]:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await asyncio.sleep(1)
        assert not ends[2][1].transport.is_closing()
        assert loop.network.open_connections == 1

    run(main, 1)


def test_deliveries_in_one_direction_never_overtake_each_other_or_come_early() -> None:
    async def main(loop: SimLoop) -> tuple[list[float], list[float]]:
        drawn: list[float] = []

        def latency(delivery: Delivery, rng: random.Random) -> float:
            drawn.append(rng.choice((0.0, 5.0, 0.1)))
            return drawn[-1]

        (reader, _writer), (_server_reader, server_writer) = await pair()
        loop.network.latency = latency
        times = []

        async def read() -> None:
            for number in range(100):
                assert await reader.readexactly(1) == bytes([number])
                times.append(loop.time())

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            for number in range(100):
                server_writer.write(bytes([number]))
                drawn[-1] += loop.time()
                await asyncio.sleep(0.5)
        return times, drawn

    times, due = run(main, 6).result

    assert times == [pytest.approx(max(due[: number + 1])) for number in range(100)]


def test_a_reset_ends_an_end_that_is_still_flushing() -> None:
    async def main(loop: SimLoop) -> int:
        (_reader, writer), (_server_reader, server_writer) = await pair()
        server_writer.transport.pause_reading()
        writer.write(bytes(10 * WINDOW_BYTES))
        writer.close()
        await asyncio.sleep(1)
        assert loop.network.open_connections == 1

        server_writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
        return loop.network.open_connections

    assert run(main, 1).result == 0


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def test_tls_runs_over_it_and_does_not_disturb_the_trace() -> None:
    async def main(loop: SimLoop) -> bytes:
        server_context, client_context = contexts()
        accepted = await Accepted.listening(ssl=server_context)
        reader, writer = await asyncio.open_connection(HOST, PORT, ssl=client_context)
        server_reader, server_writer = await accepted.next()
        writer.write(b"secret?")
        server_writer.write(await server_reader.readexactly(7) + b" yes")
        answer = await reader.readexactly(11)
        writer.close()
        await writer.wait_closed()
        return answer

    first, second = run(main, 1), run(main, 1)

    assert first.result == second.result == b"secret? yes"
    assert first.trace == second.trace


def test_tls_with_a_stranger_is_refused_by_the_client() -> None:
    async def main(loop: SimLoop) -> None:
        server_context, _ = contexts()
        await Accepted.listening(ssl=server_context)
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(HOST, PORT, ssl=ssl.create_default_context())
        await asyncio.sleep(60)

    run(main, 1)


def test_real_sockets_and_datagrams_are_refused_with_a_sentence() -> None:
    async def main(loop: SimLoop) -> None:
        with socket.socket() as real, pytest.raises(RuntimeError, match="no real sockets"):
            await loop.create_connection(asyncio.Protocol, sock=real)
        with pytest.raises(RuntimeError, match="not datagrams"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HOST, 0))

    run(main, 1)
