"""Runs a hub until it is told to stop: web, worker, or both in one process.

SIGTERM and SIGINT drain: nothing new is begun, streams end, running pulls get a moment, open pages are told to come
back. SIGKILL is just as safe; draining only spares others the wait.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import structlog
import uvicorn

from kalends.app import Hub
from kalends.config import Config, ConfigError
from kalends.web.app import Web, make_web

_log = structlog.get_logger("kalends")
_GRACE_SECONDS = 5
SWITCH_SECONDS = 0.0005


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would wait for open event streams before anybody told them to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(hub: Hub, role: str, ready: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
    """Returns after a signal or `stop`. `ready` hears the address once pages can be opened."""
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    # The store's threads and the event loop hand over to each other several times a turn; Python's default of 5 ms each
    # time would be most of the way from a change to its panel.
    sys.setswitchinterval(SWITCH_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _log.info("starting", role=role, store=hub.store.where)
    async with asyncio.TaskGroup() as group:
        ending = []
        if role in ("all", "worker"):
            worker = hub.worker()
            group.create_task(worker.run(), name="worker")
            ending.append(worker.stop)
        if role in ("all", "web"):
            web = make_web(hub)
            server = _server(hub.config, web)
            group.create_task(_serve_web(server, hub.config, ready), name="web")
            ending += [web.drain, lambda: setattr(server, "should_exit", True)]
        else:
            ready("")
        await stop.wait()
        _log.info("stopping", role=role)
        for end in ending:
            end()


def _server(config: Config, web: Web) -> _Server:
    """Raises ConfigError when certificate and key can't be used."""
    options = uvicorn.Config(
        web,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=config.trusted_proxies,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    try:
        options.load()
    except OSError as error:
        raise ConfigError(
            f"{config.tls_certificate} and {config.tls_key} can't be used for https ({error.strerror or 'not PEM'}). Give a "
            "readable PEM chain (KALENDS_TLS_CERTIFICATE) and the key that belongs to it (KALENDS_TLS_KEY)."
        ) from error
    if options.ssl is not None:
        options.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return _Server(options)


async def _serve_web(server: _Server, config: Config, ready: Callable[[str], None]) -> None:
    listening = listen(config)
    port = listening.getsockname()[1]

    async def announce() -> None:
        while not server.started:  # noqa: ASYNC110  # uvicorn offers no event for it
            await asyncio.sleep(0.01)
        ready(config.public_url if config.base_url or config.port else config.public_url.replace(":0", f":{port}"))

    async with asyncio.TaskGroup() as group:
        announcing = group.create_task(announce())
        try:
            await server.serve(sockets=[listening])
        finally:
            announcing.cancel()
            listening.close()


def listen(config: Config) -> socket.socket:
    """The listening socket. Raises ConfigError when the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{config.host}:{config.port} can't be listened on ({error.strerror}). Stop what uses it, or set another "
            "port (KALENDS_PORT; --port of the demo) or host (KALENDS_HOST)."
        ) from error
    listening.listen(1024)
    listening.setblocking(False)
    return listening
