"""`kalends demo --check`: proves the whole chain once, from a booking in the sandbox to the API, and measures it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

if TYPE_CHECKING:
    from kalends.app import Hub

T = TypeVar("T")
_STEP_SECONDS = 0.01
IN_STEP_SECONDS = 90.0
SHOWN_SECONDS = 30.0


class CheckFailed(Exception):
    """The demonstration did not do what it should. The message says which step failed."""


@dataclass(frozen=True)
class Chain:
    """Both ends of the chain: the sandbox's control API, where people act, and the hub's API, where others look."""

    hub: "Hub"
    url: str
    token: str
    ready: Mapping[str, Any]

    async def run(self) -> dict[str, Any]:
        """`lag_s`: from the room's calendar in the sandbox to the hub's API, in real seconds."""
        clock, began = self.hub.clock, self.hub.clock.monotonic()
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(trust_env=False, base_url=self.url, headers=headers) as api:
            calendars = await self._until_in_step(api)
            in_step = clock.monotonic() - began
            lag = await self._one_change(api)
        return {"ok": True, "calendars": calendars, "in_step_s": round(in_step, 3), "lag_s": round(lag, 3)}

    async def _until_in_step(self, api: httpx2.AsyncClient) -> int:
        async def look() -> int:
            items = await _all(api, "/v1/calendars")
            in_step = all(one["state"] == "in_sync" and one["heard_at"] for one in items)
            return len(items) if in_step else 0

        return await _until(look, IN_STEP_SECONDS, "Not every calendar came in step")

    async def _one_change(self, api: httpx2.AsyncClient) -> float:
        """Books a free room for tomorrow night through the sandbox and waits until the API tells of it."""
        space = (await _all(api, "/v1/spaces"))[0]
        start = (self.hub.clock.now() + timedelta(days=1)).replace(hour=1, minute=0, second=0, microsecond=0)
        span = {"from": start.isoformat(), "to": (start + timedelta(minutes=15)).isoformat()}
        path = f"/v1/spaces/{space['id']}/events"
        before = len(await _all(api, path, span))
        async with httpx2.AsyncClient(trust_env=False, base_url=self.ready["control"]) as control:
            people = (await control.get("/truth")).raise_for_status().json()["mailboxes"]
            person = next(one for one in people if one["kind"] == "user")
            act = {
                "verb": "create", "mailbox": person["address"], "subject": "Check", "start": start.isoformat(),
                "minutes": 15, "rooms": [await self._address(api, space)],
            }  # fmt: skip
            (await control.post("/act", json=act)).raise_for_status()
            (await control.post("/settle")).raise_for_status()
        began = self.hub.clock.monotonic()

        async def look() -> bool:
            return len(await _all(api, path, span)) > before

        await _until(look, SHOWN_SECONDS, "The change did not reach the API")
        return self.hub.clock.monotonic() - began

    async def _address(self, api: httpx2.AsyncClient, space: Mapping[str, Any]) -> str:
        items = await _all(api, "/v1/calendars")
        return str(next(one["address"] for one in items if one["id"] in space["calendars"]))


async def _all(api: httpx2.AsyncClient, path: str, query: Mapping[str, str] | None = None) -> list[Any]:
    answer = (await api.get(path, params=query)).raise_for_status().json()
    items = answer["items"]
    assert isinstance(items, list)
    return items


async def _until(look: Callable[[], Awaitable[T]], seconds: float, trouble: str) -> T:
    """What `look` says once it says something."""
    try:
        async with asyncio.timeout(seconds):
            while not (seen := await look()):  # noqa: ASYNC110  # the API is polled as a stranger would
                await asyncio.sleep(_STEP_SECONDS)
            return seen
    except TimeoutError:
        raise CheckFailed(f"{trouble} within {seconds:.0f} s.") from None
