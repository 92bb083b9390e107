"""Ways to sign in. Each answers with what one request carries; NTLM and OAuth are further implementations of `Auth`."""

import base64
from typing import Protocol


class Auth(Protocol):
    async def headers(self) -> dict[str, str]:
        """The headers that sign one request in."""
        ...


class Basic:
    """User name and password with every request, over verified https only (`http.py` sees to that)."""

    def __init__(self, username: str, password: str) -> None:
        token = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {token}"}

    async def headers(self) -> dict[str, str]:
        return dict(self._headers)

    def __repr__(self) -> str:
        return "Basic(…)"
