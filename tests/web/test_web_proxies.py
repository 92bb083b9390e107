"""Who asks: through a reverse proxy that is trusted, whom it names; else whoever is at the other end."""

from typing import Any

import pytest

from kalends.config import Config
from kalends.serving import _server


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("trusted", "peer", "seen"),
    [
        ("127.0.0.1, 10.0.0.0/8", "10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_only_a_trusted_proxy_says_who_asks(trusted: str, peer: str, seen: str) -> None:
    found: list[str] = []

    async def web(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["client"][0])

    app = _server(Config(trusted_proxies=trusted), web).config.loaded_app  # type: ignore[arg-type]
    headers = [(b"x-forwarded-for", b"203.0.113.7")]
    await app({"type": "http", "client": (peer, 5), "headers": headers, "scheme": "http"}, None, None)  # type: ignore[arg-type]

    assert found == [seen]
