"""What meetings say is in the database, in its log and in every copy of it, and readable in none of them without the key."""

import base64
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection, insert, select, update
from store_given import CALENDAR, CONTENTS, HOUR, IDS, NOW, ORG, SEAL, WINDOW, given_account, given_lease, page, single

from kalends.ids import SeededIds
from kalends.model.event import Attendee, Event, Party, Role
from kalends.model.time import Span
from kalends.seal import KeyMissing, Seal, SealError
from kalends.store import audit, events, organizations
from kalends.store.contents import Contents
from kalends.store.door import Store, open_store
from kalends.store.schema import bases, content_keys
from kalends.store.schema import events as table
from kalends.store.schema import organizations as organizations_

WORDS = [
    "Zanzibar takeover",
    "Vault under the quay",
    "Bring the papers",
    "Ada Example",
    "ada@example.test",
    "Bob Guest",
]
ALL_OF = Span(NOW - HOUR, NOW + 9 * HOUR)
OTHER = SeededIds(Random(11)).noise


def secret(item: str = "A") -> Event:
    organizer = Party("Ada Example", "ada@example.test")
    guests = (Attendee(Party("Bob Guest", "bob@example.test"), Role.REQUIRED),)
    return single(
        item, subject=WORDS[0], location=WORDS[1], description=WORDS[2], organizer=organizer, attendees=guests
    )


def spellings(word: str) -> Iterator[bytes]:
    """The word as it might lie on a disk: plain, wide, and in base64 at each of its three alignments."""
    plain = word.encode()
    yield from (plain, word.encode("utf-16-le"), word.encode("utf-16-be"))
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        yield coded[4 if shift else 0 : -1]


def found_in(files: dict[str, bytes], words: list[str]) -> list[tuple[str, str]]:
    return [
        (name, word)
        for name, held in files.items()
        for word in words
        if any(spelt in held for spelt in spellings(word))
    ]


def files_of(file: Path) -> dict[str, bytes]:
    """The database, its log, and a backup made as docs/operations.md says."""
    copy = file.with_name("backup.sqlite3")
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return {path.name: path.read_bytes() for path in sorted(file.parent.iterdir())}


@pytest.mark.asyncio
async def test_nothing_that_a_meeting_says_is_readable_in_database_log_or_backup(tmp_path: Path) -> None:
    file = tmp_path / "k.sqlite3"
    store = await open_store(f"sqlite:///{file}")
    lease = await store.run(given_lease)
    await store.run(events.apply, CONTENTS, lease, CALENDAR, page(secret()), WINDOW, NOW)

    files = files_of(file)
    held = await store.read(events.in_span, CONTENTS, [CALENDAR], ALL_OF)
    await store.aclose()

    assert set(files) >= {"k.sqlite3", "k.sqlite3-wal", "backup.sqlite3"}
    assert found_in(files, WORDS) == []
    assert {name for name, _ in found_in(files, ["uid-A"])} >= {"k.sqlite3-wal", "backup.sqlite3"}, "the search finds"
    assert held[CALENDAR] == [secret()]


@pytest.mark.asyncio
async def test_content_that_was_copied_to_another_meeting_does_not_open(store: Store) -> None:
    lease = await store.run(given_lease)
    both = page(secret("A"), single("B", subject="Standup"))
    await store.run(events.apply, CONTENTS, lease, CALENDAR, both, WINDOW, NOW)

    def swap(conn: Connection) -> None:
        stolen = conn.execute(select(table.c.content).where(table.c.item == "A")).scalar_one()
        conn.execute(update(table).where(table.c.item == "B").values(content=stolen))

    await store.run(swap)
    held = (await store.read(events.in_span, CONTENTS, [CALENDAR], ALL_OF))[CALENDAR]

    assert {event.item: event.subject for event in held} == {"A": WORDS[0], "B": None}
    assert all(event.takes_time for event in held), "a meeting whose text is lost still makes its room busy"


@pytest.mark.asyncio
async def test_a_meeting_without_content_holds_none(store: Store) -> None:
    lease = await store.run(given_lease)
    bare = page(single("A", subject=None))

    await store.run(events.apply, CONTENTS, lease, CALENDAR, bare, WINDOW, NOW)

    assert await store.read(lambda conn: conn.execute(select(table.c.content)).scalars().all()) == [None]


def test_what_is_sealed_twice_never_looks_alike_and_any_altered_byte_is_noticed() -> None:
    one, other = CONTENTS.seal(CALENDAR, secret()), CONTENTS.seal(CALENDAR, secret())

    assert one is not None
    assert one != other
    assert CONTENTS.open(CALENDAR, "A", one).subject == WORDS[0]
    for n in range(len(one)):
        altered = bytearray(one)
        altered[n] ^= 1
        assert CONTENTS.open(CALENDAR, "A", bytes(altered)).subject is None
    assert CONTENTS.open("cal_2", "A", one).subject is None
    assert CONTENTS.open(CALENDAR, "A", one[:9]).subject is None


def test_the_hash_of_a_short_subject_can_not_be_found_by_trying() -> None:
    other = Contents(b"d" * 32, OTHER)
    event = single("A", subject="1:1")

    assert CONTENTS.digest(event) == CONTENTS.digest(single("B", uid="uid-A", subject="1:1"))
    assert CONTENTS.digest(event) != CONTENTS.digest(single("A", subject="1:2"))
    assert CONTENTS.digest(event) != other.digest(event), "it takes the organization's key to compute it"


@pytest.mark.asyncio
async def test_an_organizations_key_is_made_once(store: Store) -> None:
    await store.run(given_account)
    first = await store.run(organizations.contents, SEAL, IDS.noise, ORG)
    second = await store.run(organizations.contents, SEAL, OTHER, ORG)

    sealed = first.seal(CALENDAR, single("A", subject="Standup"))

    assert second.open(CALENDAR, "A", sealed).subject == "Standup"
    with pytest.raises(KeyMissing):
        await store.run(organizations.contents, Seal([b"x" * 32], OTHER), OTHER, ORG)


@pytest.mark.asyncio
async def test_rotation_wraps_the_key_anew_and_touches_no_meeting(store: Store) -> None:
    contents = await store.run(_given_meetings)
    before = await store.read(_rows)
    both = Seal([b"n" * 32, b"k" * 32], OTHER)

    first = await store.run(organizations.rotate, both, NOW, actor="cli:root")
    second = await store.run(organizations.rotate, both, NOW, actor="cli:root")
    alone = await store.run(organizations.contents, Seal([b"n" * 32], OTHER), OTHER, ORG)

    held = (await store.read(events.in_span, alone, [CALENDAR], ALL_OF))[CALENDAR]
    [entry, *_] = await store.read(audit.list_entries, ORG, 1, ORG)
    assert (first, second) == (1, 0)
    assert await store.read(_rows) == before
    assert held == (await store.read(events.in_span, contents, [CALENDAR], ALL_OF))[CALENDAR] == [secret()]
    assert (entry.action, entry.why) == ("organization.resealed", "its key is wrapped by the new key")
    Seal([b"n" * 32], OTHER).require(await store.read(organizations.sealing_keys))


@pytest.mark.asyncio
async def test_the_key_of_one_organization_does_not_open_as_anothers(store: Store) -> None:
    await store.run(given_account)
    await store.run(organizations.contents, SEAL, IDS.noise, ORG)
    await store.run(_rename)

    with pytest.raises(SealError, match="Restore the database from a backup"):
        await store.run(organizations.contents, SEAL, OTHER, "org_2")


def _given_meetings(conn: Connection) -> Contents:
    lease = given_lease(conn)
    contents = organizations.contents(conn, SEAL, IDS.noise, ORG)
    events.apply(conn, contents, lease, CALENDAR, page(secret()), WINDOW, NOW)
    return contents


def _rows(conn: Connection) -> list[object]:
    return [*conn.execute(select(table.c.content)).all(), *conn.execute(select(bases.c.digest)).all()]


def _rename(conn: Connection) -> None:
    """Somebody who may write the database moves one organization's key to another."""
    conn.execute(insert(organizations_), {"id": "org_2", "name": "Borealis", "region": "local", "created_at": NOW})
    conn.execute(update(content_keys).values(organization="org_2"))
