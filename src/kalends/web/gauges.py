"""Gauges that are read when Prometheus asks, beside the counters that `metrics.py` keeps. No names, no addresses."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from kalends.features.freshness import CATCHING_UP, IN_SYNC, is_fresh
from kalends.features.picture import read_facts
from kalends.features.rooms import RoomView
from kalends.features.words import ACCOUNT_WORDS
from kalends.model.availability import Policy, State
from kalends.store import accounts, due
from kalends.store.due import NEWS
from kalends.web.wiring import Wiring

CALENDAR_STATES = (CATCHING_UP, IN_SYNC, "degraded", "held", "gone")
LANES = {True: "news", False: "routine"}


class Gauges:
    """One set per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"kalends_{name}", help_, labels, registry=registry)

        self.calendars = gauge("calendars", "Calendars by state.", "state")
        self.accounts = gauge("accounts", "Accounts by state.", "state")
        self.unverified = gauge("accounts_unverified", "Accounts whose server's certificate is not verified.")
        self.fresh = gauge("calendars_fresh", "Calendars proved in step within the time after which a room is unknown.")
        self.rooms = gauge("rooms", "Rooms by what their panels show.", "state")
        self.streams = gauge("web_streams", "Open live connections of this process.")
        self.due = gauge("due_pending", "Rows whose time has come.", "kind", "lane")
        self.due_age = gauge("due_oldest_age_seconds", "How long the oldest of them has waited.", "kind", "lane")

    async def fill(self, hub: Wiring, rooms: Iterable[RoomView], policy: Policy, streams: int) -> None:
        """The gauges say how things are now."""
        now = hub.clock.now()
        _, calendars = await hub.store.read(read_facts, hub.organization, hub.clock.factor)
        for state in CALENDAR_STATES:
            self.calendars.labels(state).set(sum(1 for c in calendars.values() if c.state == state))
        standing = await hub.store.read(accounts.list_all, hub.organization)
        for state in ACCOUNT_WORDS:
            self.accounts.labels(state).set(sum(1 for account in standing if account.state == state))
        self.unverified.set(sum(1 for account in standing if accounts.unverified_reason(account.settings)))
        self.fresh.set(sum(1 for c in calendars.values() if is_fresh(c, now, policy)))
        states = Counter(room.state for room in rooms)
        for shown in State:
            self.rooms.labels(shown.value).set(states[shown])
        self.streams.set(streams)
        self.due.clear()
        self.due_age.clear()
        for (kind, lane), backlog in (await hub.store.read(due.backlog, now)).items():
            self.due.labels(kind, LANES[lane == NEWS]).set(backlog.rows)
            self.due_age.labels(kind, LANES[lane == NEWS]).set(backlog.oldest.total_seconds() / hub.clock.factor)
