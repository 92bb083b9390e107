"""The numbers Kalends counts about itself, for Prometheus. Labels are bounded: no addresses, no names.

Counted where things happen; gauges that come from the store are filled in when `/metrics` is read (`web/metrics.py`).
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

_LAG_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """One per process, in a registry of its own so that tests can have many."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.turns = Counter(
            "kalends_sync_runs", "Turns by kind and outcome.", ["kind", "provider", "outcome"], registry=r
        )
        self.lag = Histogram(
            "kalends_sync_lag_seconds",
            "From a change at the provider to its commit here.",
            ["provider"],
            buckets=_LAG_BUCKETS,
            registry=r,
        )
        self.applied = Counter(
            "kalends_events_applied", "Rows that became different.", ["provider", "change"], registry=r
        )
        self.throttled = Counter(
            "kalends_provider_throttle_seconds", "Seconds providers asked us to wait.", ["provider"], registry=r
        )
        self.heard = Counter("kalends_inbound_notifications", "Calendars named by streams.", ["provider"], registry=r)
        self.lease_lost = Counter("kalends_lease_lost", "Turns that lost their lease to another worker.", registry=r)
