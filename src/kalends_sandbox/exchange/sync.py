"""SyncFolderItems: what changed in a folder since a state that only this server can read. Neighbours: folder.py keeps the log.

A state is (phase, base, place). In the first reading `place` is how many of the folder's oldest items are still to come,
newest first, while `base` remembers the log's sequence at its beginning. Afterwards everything up to `place` has been told;
`base` is where the last complete answer stood, so that an item that appeared since is a Create even on a later page.
"""

import base64
import hashlib
import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import Page, item_id
from kalends_sandbox.exchange.items import answer_zone
from kalends_sandbox.exchange.message_xml import any_item
from kalends_sandbox.exchange.shapes import item_shape
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Refusal,
    answer,
    children,
    failure,
    m,
    need,
    need_attribute,
    need_number,
    some,
    success,
    text,
    text_of,
)
from kalends_sandbox.folder import Folder

_LAYOUT = ">BQQq16s"  # phase, base, place, the server's birth in microseconds, the folder's fingerprint
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _State:
    is_first: bool
    base: int
    place: int


def sync_folder_items(site: Site, call: Call) -> str:
    shape = item_shape(need(call.element, m("ItemShape")))
    most = need_number(text_of(need(call.element, m("MaxChangesReturned"))), "MaxChangesReturned", 1, 512)
    ignored = call.element.find(m("Ignore"))
    skipped = {need_attribute(one, "Id") for one in children(ignored)} if ignored is not None else set()
    try:
        _, folder = _folder(site, call)
        sent = text_of(call.element.find(m("SyncState")))
        if sent and site.faults.strike(("invalid_sync_state",), call.operation, call.mailbox):
            raise _lost("The sync state data is not valid any more.")
        state = _read(site, folder, sent)
    except Refusal as refusal:
        # Clients look for these two even in an error.
        payload = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
        return answer(call.operation, [failure(call.operation, refusal, payload)])
    page = Page(shape, folder, is_list=True, zone=answer_zone(site, call))
    state, changes = _first(state, page, most) if state.is_first else _later(state, page, most)
    is_last = not state.is_first and state.place == folder.sequence
    site.budgets.charge(call.payer, len(changes))
    payload = (
        f"<m:SyncState>{text(_written(site, folder, state))}</m:SyncState>"
        f"<m:IncludesLastItemInRange>{str(is_last).lower()}</m:IncludesLastItemInRange>"
        f"<m:Changes>{''.join(xml for id_, xml in changes if id_ not in skipped)}</m:Changes>"
    )
    return answer(call.operation, [success(call.operation, payload)])


def _folder(site: Site, call: Call) -> tuple[object, Folder]:
    wanted = some(need(call.element, m("SyncFolderId")))[0]
    try:
        return target(site, call, wanted)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound":
            raise Refusal("ErrorSyncFolderNotFound", "The folder to synchronize could not be found.") from refusal
        raise


def _first(state: _State, page: Page, most: int) -> tuple[_State, list[tuple[str, str]]]:
    """The folder as it is, newest first. Deletions meanwhile can only make an item come twice, never be missed."""
    items = list(page.folder.items.values())
    left = min(state.place, len(items))
    shown = items[max(0, left - most) : left][::-1]
    changes = [(item.item_id, f"<t:Create>{any_item(item, page)}</t:Create>") for item in shown]
    left -= len(shown)
    if left:
        return replace(state, place=left), changes
    return _State(False, state.base, state.base), changes


def _later(state: _State, page: Page, most: int) -> tuple[_State, list[tuple[str, str]]]:
    delta = page.folder.changes_since(state.place, most, state.base)
    changes = [(gone, f"<t:Delete>{item_id(gone, 'AAAAAA==')}</t:Delete>") for gone in delta.deleted]
    for kind, items in (("Create", delta.created), ("Update", delta.updated)):
        changes += [(item.item_id, f"<t:{kind}>{any_item(item, page)}</t:{kind}>") for item in items]
    return _State(False, delta.base, delta.sequence), changes


def _read(site: Site, folder: Folder, written: str) -> _State:
    if not written:
        return _State(True, folder.sequence, len(folder.items))
    try:
        raw = base64.b64decode(written, validate=True)
        body, seal = raw[:-8], raw[-8:]
        phase, base, place, born, fingerprint = struct.unpack(_LAYOUT, body)
    except (ValueError, struct.error):
        raise _lost("The sync state data cannot be read.") from None
    if seal != _seal(body) or fingerprint != _fingerprint(folder) or born != _born(site):
        raise _lost("The sync state data belongs to another folder or is corrupt.")
    if (base if phase else place) < folder.horizon or (not phase and place > folder.sequence):
        raise _lost("The sync state data is too old.")
    return _State(bool(phase), base, place)


def _written(site: Site, folder: Folder, state: _State) -> str:
    body = struct.pack(_LAYOUT, state.is_first, state.base, state.place, _born(site), _fingerprint(folder))
    return base64.b64encode(body + _seal(body)).decode()


def _lost(why: str) -> Refusal:
    return Refusal("ErrorInvalidSyncStateData", why)


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(b"sync state" + body).digest()[:8]


def _fingerprint(folder: Folder) -> bytes:
    return hashlib.sha256(folder.id.encode()).digest()[:16]


def _born(site: Site) -> int:
    return (site.born - _EPOCH) // timedelta(microseconds=1)
