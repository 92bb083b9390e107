"""Tries an Exchange account step by step, for the admin's eyes: each step says whether it works or what to do."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from kalends.model.event import CalendarId
from kalends.providers.exchange import directory, faults, requests, version
from kalends.providers.exchange.client import Affinity, Client
from kalends.providers.exchange.settings import MOST_PER_CONNECTION, ExchangeSettings
from kalends.providers.exchange.soap import M
from kalends.providers.protocol import AuthLost, CalendarGone, Finding, ProviderError


@dataclass(frozen=True, slots=True)
class Check:
    client: Client
    settings: ExchangeSettings

    async def run(self, calendar: CalendarId | None) -> AsyncGenerator[Finding, None]:
        """Stops at the first step without which the later ones make no sense."""
        try:
            lists = await directory.room_lists(self.client)
        except (AuthLost, CalendarGone) as error:
            yield self._reached()
            yield Finding("sign-in", False, str(error))
            return
        except ProviderError as error:
            yield Finding("connection", False, str(error))
            return
        yield self._reached()
        yield Finding("sign-in", True, f"The service account may use EWS. It signed in by {self.client.signed_in_by}.")
        yield version.finding(self.client.build, self.settings.version)
        yield self._of_lists(len(lists))
        if self.settings.impersonate:
            yield self._of_group_size()
        if calendar is not None:
            async for finding in self._of_calendar(calendar):
                yield finding

    def _reached(self) -> Finding:
        if self.settings.trust.unverified is None:
            return Finding("connection", True, f"{self.client.host} answers over verified TLS.")
        return Finding(
            "connection",
            True,
            f"{self.client.host} answers, but its certificate is not verified: anybody in between could be answering.",
            warning=True,
        )

    def _of_lists(self, count: int) -> Finding:
        if count:
            return Finding("room lists", True, f"{count} room lists can be read.")
        return Finding(
            "room lists",
            True,
            "There is no room list, so rooms can't be found by themselves: make one "
            "(New-DistributionGroup -RoomList), or enter addresses by hand.",
            warning=True,
        )

    def _of_group_size(self) -> Finding:
        size = self.settings.max_per_connection
        if size == MOST_PER_CONNECTION:
            return Finding("streaming size", True, f"One connection listens for up to {size} calendars.")
        return Finding(
            "streaming size",
            True,
            f"One connection listens for only {size} calendars; more connections are needed, and Exchange allows few "
            "(HangingConnectionLimit).",
            warning=size < 10,
        )

    async def _of_calendar(self, calendar: CalendarId) -> AsyncGenerator[Finding, None]:
        try:
            found = await directory.resolve(self.client, calendar)
            yield Finding("calendar", True, f"{found.address} can be opened.")
            faults.only(
                await self.client.call(requests.sync_items(found.address, None, 1), found.address), found.address
            )
            yield Finding("reading", True, "Its meetings can be read.")
        except ProviderError as error:
            yield Finding("calendar", False, str(error))
            return
        if not self.settings.impersonate:
            yield Finding(
                "streaming",
                True,
                "Changes are found by polling only, because the service account opens calendars as a delegate. "
                "To be told at once, give it ApplicationImpersonation: kalends accounts rights prints how.",
                warning=True,
            )
            return
        try:
            await self._listen(found.address)
            yield Finding("streaming", True, "Changes are told at once.")
        except ProviderError as error:
            yield Finding("streaming", True, f"Changes are found by polling only: {error}", warning=True)

    async def _listen(self, calendar: CalendarId) -> None:
        """Raises when the calendar can't be listened to. Leaves no subscription behind."""
        affinity = Affinity(calendar)
        made = faults.only(await self.client.call(requests.subscribe(calendar), calendar, affinity), calendar)
        subscription = made.findtext(f"{M}SubscriptionId") or ""
        async with aclosing(self.client.stream(requests.streaming_events([subscription], 1), affinity)) as documents:
            async for document in documents:
                faults.only(document, calendar)
                break
        await self.client.call(requests.unsubscribe(subscription), calendar, affinity)
