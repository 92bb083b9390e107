"""What an account and its server say to each other, live, for the administrator: while debugging is on, and an hour after."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kalends.features.debugging import AT_ONCE, KIND_WORDS, Form, losses, stamp, talk_of, written
from kalends.store import accounts, debugging
from kalends.store.accounts import Account
from kalends.store.debugging import Debugging, Entry
from kalends.store.door import StoreError
from kalends.web.answers import page, rendered
from kalends.web.kit import Kit, Standing, kit_of, page_values, room_for_a_stream, seated
from kalends.web.policy import Policy, allow
from kalends.web.problems import Problem, not_found
from kalends.web.sse import EventStream, frame

SHOWN = 100
LOOK_SECONDS = 1.0
TYPES: dict[Form, str] = {"text": "text/plain; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@allow(Policy.ADMIN)
async def protocol(request: Request) -> Response:
    kit = kit_of(request)
    account = await _account(request, kit)
    found = await _found(kit, account)
    entries = await kit.hub.store.read(debugging.newest, account.id, SHOWN, _before(kit))
    values = page_values(request, "protocol") | {
        "account": account,
        "state": _state(kit, found),
        "newest": entries[0].seq if entries else 0,
        "entries": [_shown(entry) for entry in entries],
        "most": SHOWN,
    }
    return page(request, "protocol.html", values)


def _state(kit: Kit, found: Debugging | None) -> dict[str, object]:
    if found is None:
        return {"is_on": False, "has_record": False, "until": "", "losses": ""}
    is_on = found.is_on(kit.hub.clock.now())
    return {"is_on": is_on, "has_record": True, "until": stamp(found.until), "losses": losses(found)}


def _shown(entry: Entry) -> dict[str, object]:
    said = entry.said
    return {
        "seq": entry.seq,
        "at": stamp(entry.at),
        "talk": talk_of(entry),
        "kind": said.kind,
        "word": KIND_WORDS[said.kind],
        "title": said.title,
        "headers": said.headers,
        "body": said.body,
        "note": said.note,
    }


@allow(Policy.ADMIN)
async def live(request: Request) -> Response:
    kit = kit_of(request)
    account = await _account(request, kit)
    room_for_a_stream(kit)
    after = request.query_params.get("after", "0")
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    return EventStream(seated(kit, _messages(kit, account, start, Standing(request))))


async def _messages(kit: Kit, account: Account, after: int, standing: Standing) -> AsyncGenerator[bytes | None]:
    """New entries as they are recorded, and the state above them when it changes."""
    shown, quiet = "", 0.0
    try:
        while not kit.draining.is_set() and await standing.holds():
            entries = await kit.hub.store.read(debugging.entries_after, account.id, after, AT_ONCE, _before(kit))
            for entry in entries:
                after = entry.seq
                yield frame(rendered("spoken.html", entry=_shown(entry)), id_=str(after))
            state = rendered("protocol_state.html", state=_state(kit, await _found(kit, account)), account=account)
            if state != shown:
                shown = state
                yield frame(state, event="state")
            if entries:
                quiet = 0.0
                continue
            quiet += LOOK_SECONDS
            if quiet >= standing.patience:
                quiet = 0.0
                yield None
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await kit.draining.wait()
    except StoreError:
        return  # the browser comes back, and finds a sentence if the store still doesn't answer


@allow(Policy.ADMIN)
async def download(request: Request) -> Response:
    """All that is recorded, the oldest first."""
    kit = kit_of(request)
    account = await _account(request, kit)
    form = next((each for each in get_args(Form) if each == request.query_params.get("as", "text")), None)
    if form is None:
        raise Problem(400, "bad_form", "There is no such form", "Download it as text or as jsonl.")
    name = f"protocol-{account.id}.{'txt' if form == 'text' else 'jsonl'}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(_lines(kit, account, form), headers=headers, media_type=TYPES[form])


async def _lines(kit: Kit, account: Account, form: Form) -> AsyncGenerator[str]:
    after, before = 0, _before(kit)
    for _ in range(debugging.MOST_ENTRIES // AT_ONCE + 1):  # a record that grows all the while is not followed for ever
        entries = await kit.hub.store.read(debugging.entries_after, account.id, after, AT_ONCE, before)
        if not entries:
            return
        after = entries[-1].seq
        yield "".join(written(entry, form) for entry in entries)


async def _account(request: Request, kit: Kit) -> Account:
    account = await kit.hub.store.read(accounts.get, request.path_params["account"])
    if account is None or account.organization != kit.hub.organization:
        raise not_found()
    return account


async def _found(kit: Kit, account: Account) -> Debugging | None:
    found = await kit.hub.store.read(debugging.get, account.id)
    return found if found is not None and found.until > _before(kit) else None


def _before(kit: Kit) -> datetime:
    """What ended so long ago is no longer shown."""
    return kit.hub.clock.now() - kit.hub.clock.stretch(debugging.KEPT_AFTER)


ROUTES = [
    Route("/accounts/{account}/protocol", protocol),
    Route("/accounts/{account}/protocol/live", live),
    Route("/accounts/{account}/protocol/download", download),
]
