"""The feed and the audit trail are kept for a while and then let go; who stayed away too long is told so."""

from datetime import UTC, datetime, timedelta

import pytest

from kalends.store import audit, feed, organizations, retention
from kalends.store.door import Connection, InlineStore
from kalends.store.feed import BadCursor, CursorTooOld, News

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)


def five_days(conn: Connection) -> list[str]:
    """One change and one audit entry a day; returns the feed's cursors."""
    organizations.ensure_default(conn, "org", "Halden", "local", MONDAY)
    for day in range(5):
        at = MONDAY + timedelta(days=day)
        feed.append(conn, "org", at, [News("event.created", f"evt_{day}", "1")])
        audit.write(conn, "org", at, actor="sync", action="events.applied", target=f"cal_{day}", why="one")
    return [change.cursor for change in feed.after(conn, "org", None).changes]


@pytest.mark.asyncio
async def test_old_changes_go_and_what_is_left_reads_on(inline: InlineStore) -> None:
    cursors = await inline.run(five_days)

    gone = await inline.run(retention.trim_feed, MONDAY + timedelta(days=2))

    assert gone == 2
    left = await inline.read(feed.after, "org", cursors[1])
    assert [change.key for change in left.changes] == ["evt_2", "evt_3", "evt_4"]


@pytest.mark.asyncio
async def test_a_cursor_from_before_the_feeds_beginning_is_refused(inline: InlineStore) -> None:
    cursors = await inline.run(five_days)
    await inline.run(retention.trim_feed, MONDAY + timedelta(days=2))

    with pytest.raises(CursorTooOld, match="no longer holds"):
        await inline.read(feed.after, "org", cursors[0])
    with pytest.raises(BadCursor):
        await inline.read(feed.after, "org", "yesterday")


@pytest.mark.asyncio
async def test_a_reader_without_a_cursor_starts_with_what_there_is(inline: InlineStore) -> None:
    await inline.run(five_days)
    await inline.run(retention.trim_feed, MONDAY + timedelta(days=4))

    batch = await inline.read(feed.after, "org", None)

    assert [change.key for change in batch.changes] == ["evt_4"]


@pytest.mark.asyncio
async def test_old_audit_entries_go_in_bounded_steps(inline: InlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await inline.run(five_days)
    monkeypatch.setattr(retention, "AT_ONCE", 2)

    steps = [await inline.run(retention.trim_audit, MONDAY + timedelta(days=3)) for _ in range(3)]

    assert steps == [2, 1, 0]
    kept = await inline.read(audit.list_entries, "org")
    assert [entry.target for entry in kept] == ["cal_4", "cal_3"]
