"""An event as a row of `events`, and back. Pure; `events` does the SQL.

The key names an event in the feed and the API. It is made of what stays: calendar, UID and original start, so that it
outlives changes of the provider's item ids and even a database that was filled anew. Where a calendar holds two copies of
one meeting they share a key, and both are found under it.
"""

import base64
import hashlib
from functools import lru_cache

import msgspec
from sqlalchemy import RowMapping

from kalends.model.event import Event, Kind, Response, Sensitivity, ShowAs, Zone
from kalends.model.time import Dates, Span, micros
from kalends.store.contents import Contents

_encode = msgspec.json.Encoder().encode


def key_of(calendar_id: str, event: Event) -> str:
    """Such as `evt_k3v9…`: the event's name in the feed and the API."""
    start = micros(event.original_start) if event.original_start is not None else None
    return _key(calendar_id, event.uid, start) if event.uid else _key(calendar_id, "", event.item)


@lru_cache(maxsize=4_096)
def _key(*name: str | int | None) -> str:
    """Asked for several times while a page is written."""
    return f"evt_{base64.b32encode(hashlib.sha256(_encode(name)).digest()[:15]).decode().lower()}"


def to_row(calendar_id: str, event: Event, contents: Contents) -> dict[str, object]:
    """Every column but `id`."""
    return {
        "calendar": calendar_id,
        "item": event.item,
        "key": key_of(calendar_id, event),
        "uid": event.uid,
        "original_start": event.original_start,
        "version": event.version,
        "kind": event.kind.value,
        "start": event.span.start,
        "end": event.span.end,
        "first": event.dates.first if event.dates else None,
        "until": event.dates.until if event.dates else None,
        "zone": event.zone.original,
        "iana": event.zone.iana,
        "master": event.master,
        "lasting_id": event.lasting_id,
        "content": contents.seal(calendar_id, event),
        "show_as": event.show_as.value,
        "sensitivity": event.sensitivity.value,
        "is_cancelled": event.is_cancelled,
        "response": event.response.value,
        "recurrence": event.recurrence,
        "modified_at": event.modified_at,
    }


def from_row(row: RowMapping, contents: Contents) -> Event:
    """The event that `to_row` wrote."""
    content = contents.open(row["calendar"], row["item"], row["content"])
    return Event(
        uid=row["uid"],
        original_start=row["original_start"],
        item=row["item"],
        version=row["version"],
        kind=Kind(row["kind"]),
        span=Span(row["start"], row["end"]),
        dates=Dates(row["first"], row["until"]) if row["first"] is not None else None,
        zone=Zone(row["zone"], row["iana"]),
        master=row["master"],
        lasting_id=row["lasting_id"],
        subject=content.subject,
        location=content.location,
        description=content.description,
        organizer=content.organizer,
        attendees=content.attendees,
        show_as=ShowAs(row["show_as"]),
        sensitivity=Sensitivity(row["sensitivity"]),
        is_cancelled=row["is_cancelled"],
        response=Response(row["response"]),
        recurrence=row["recurrence"],
        modified_at=row["modified_at"],
    )
