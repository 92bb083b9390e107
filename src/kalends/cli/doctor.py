"""`kalends doctor`: everything that can be checked, one line each, each with what to do."""

import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from kalends.cli.session import FAILED, configuration, json_option, say, with_hub
from kalends.config import misspelt

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.providers.protocol import Finding
    from kalends.store.calendars import Health


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check everything that can be checked, one line each. Exit 1 if something needs you."""
    config = configuration(ctx)
    for sentence in misspelt(os.environ):
        facts = {"step": "configuration", "ok": True, "warning": True, "detail": sentence}
        say(facts, as_json, f"! configuration: {sentence}")
    say({"step": "configuration", "ok": True}, as_json, "✓ configuration: every setting can be used")

    async def work(hub: "Hub") -> bool:
        say({"step": "database", "ok": True}, as_json, f"✓ database: {hub.store.where}")
        say({"step": "key", "ok": True}, as_json, f"✓ key: {config.key_file}")
        good = True
        async for finding in _findings(hub):
            mark = "!" if finding.warning else "✓" if finding.ok else "✗"
            facts = {"step": finding.step, "ok": finding.ok, "warning": finding.warning, "detail": finding.detail}
            say(facts, as_json, f"{mark} {finding.step}: {finding.detail}")
            good = good and finding.ok
        return good

    if not with_hub(ctx, work):
        sys.exit(FAILED)


async def _findings(hub: "Hub") -> "AsyncIterator[Finding]":
    from dataclasses import replace

    from kalends.features.debugging import stamp
    from kalends.features.words import privacy
    from kalends.providers.protocol import Checker, Finding
    from kalends.store import access, accounts, calendars, debugging, erasure

    if not await hub.store.read(access.list_users, hub.organization):
        yield Finding("users", False, "Nobody can sign in. Add the first admin: kalends users add NAME")
    connections = hub.connections()
    try:
        for account in await hub.store.read(accounts.list_all, hub.organization):
            yield Finding(f"{account.name}, privacy", True, f"{account.privacy}: {privacy(account.privacy)}")
            if account.id in await hub.store.read(erasure.pending):
                detail = (
                    "What its mode no longer allows is still being erased; a running worker ends that within a minute."
                )
                yield Finding(f"{account.name}, privacy", True, detail, warning=True)
            provider = (await connections.of(account)).provider
            assert isinstance(provider, Checker)
            async for finding in provider.check(None):
                yield replace(finding, step=f"{account.name}, {finding.step}")
    finally:
        await connections.aclose()
    for _, name, until in await hub.store.read(debugging.names_on, hub.organization, hub.clock.now()):
        yield Finding(f"{name}, debugging", True, f"What is said is being recorded, masked, until {stamp(until)}.")
    for finding in _of_calendars(await hub.store.read(calendars.list_health, hub.organization)):
        yield finding


def _of_calendars(healths: "Sequence[Health]") -> "Iterator[Finding]":
    """One line per cause: what an account's calendars have in common is said once."""
    from collections import Counter

    from kalends.providers.protocol import Finding
    from kalends.store import calendars

    common = Counter((h.account_name, h.account_reason) for h in healths if _is_account_s(h))
    for (account, why), count in sorted(common.items()):
        yield Finding(f"{account}, {_these(count)}", False, f"They can't be kept in step. {why}")
    polled = Counter((h.account_name, h.polling) for h in healths if h.polling)
    for (account, why), count in sorted(polled.items()):
        yield Finding(f"{account}, {_these(count)}", True, f"Changes are not told but found. {why}", warning=True)
    for health in healths:
        calendar = health.calendar
        if calendar.state != calendars.IN_SYNC and not _is_account_s(health):
            yield Finding(calendar.address, calendar.state == calendars.CATCHING_UP, calendar.reason)
        if health.unreadable:
            detail = f"{health.unreadable} meetings could not be read; the rest of the calendar goes on."
            yield Finding(calendar.address, True, detail, warning=True)


def _is_account_s(health: "Health") -> bool:
    return health.calendar.state == "degraded" and health.calendar.reason == health.account_reason


def _these(count: int) -> str:
    return "1 calendar" if count == 1 else f"{count} calendars"
