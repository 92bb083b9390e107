"""Who listens for an account's calendars: stream groups where its provider can listen, else polling, and why.

Called whenever that may have become different: calendars were added, or the account's settings changed. Nothing that is
already as it should be is touched.
"""

from datetime import datetime, timedelta

from kalends.providers.protocol import Provider, Streamer, Traits
from kalends.store import calendars, due, polled
from kalends.store.door import Connection


def group(conn: Connection, account: str, provider: Provider, now: datetime) -> None:
    """Every calendar of the account is in a stream group that is looked at next, or says why it is polled."""
    members = calendars.of_account(conn, account)
    ids = [member.id for member in members]
    if isinstance(provider, Streamer) and not provider.traits.never_told:
        groups = calendars.assign_stream(conn, account, provider.calendars_per_stream)
        due.ensure(conn, "stream", groups, now)
        due.wake(conn, "stream", groups, now)
        polled.say(conn, [member.id for member in members if member.stream is None], {})
        return
    due.forget(conn, "stream", [member.stream for member in members if member.stream is not None])
    calendars.leave_streams(conn, [member.id for member in members if member.stream is not None])
    traits = provider.traits
    reason = f"By polling, {every(traits)}, because {traits.never_told or 'its calendar system tells of no changes'}."
    polled.say(conn, ids, dict.fromkeys(ids, reason))


def for_now(traits: Traits, error: str) -> str:
    """Why a calendar that could be listened to is polled all the same."""
    return f"By polling, {every(traits)}: {error}"


def every(traits: Traits) -> str:
    """How often a calendar is polled, as people say it."""
    if traits.poll_every == timedelta(minutes=1):
        return "every minute"
    seconds = round(traits.poll_every.total_seconds())
    return f"every {seconds // 60} minutes" if seconds % 60 == 0 else f"every {seconds} seconds"
