"""How this Exchange Server is set up; every figure is Exchange 2016's or 2019's default unless its comment says otherwise."""

from dataclasses import dataclass, replace

from kalends_sandbox.exchange.door import Method
from kalends_sandbox.exchange.ntlm import Protection
from kalends_sandbox.exchange.releases import RELEASES, Build, ReleaseName


@dataclass(frozen=True, slots=True)
class Settings:
    sign_in: tuple[Method, ...] = ("basic",)  # what the door offers; Exchange itself: negotiate and ntlm
    extended_protection: Protection = "none"  # of EWS; for Autodiscover it is always off, as Microsoft has it
    nodes: int = 3  # mailbox servers behind the load balancer
    build: Build = RELEASES["2019"].build
    hanging_connections: int = 10  # HangingConnectionLimit: open streams per account charged
    concurrency: int = 27  # EWSMaxConcurrency: plain calls at a time per account and target
    subscriptions_per_mailbox: int = 5000  # EWSMaxSubscriptions
    ids_per_stream: int = 200
    rows_per_find: int = 1000  # EWSFindCountLimit
    heartbeat_s: float = 45.0
    minute_s: float = 60.0  # a minute of ConnectionTimeout; tests make it shorter
    subscription_idle_s: float = 300.0  # how long events are kept with no stream attached (Exchange does not say)
    queued_events: int = 2000  # a subscription that falls further behind is lost
    echo_s: tuple[float, float] = (0.05, 0.4)  # how much later the repeated events of one change come
    answers_in_context_zone: bool = False  # times with the offset of the request's TimeZoneContext instead of Z

    def as_release(self, name: ReleaseName) -> "Settings":
        """The same set-up on another release: its build, and the limits that changed between releases."""
        release = RELEASES[name]
        return replace(self, build=release.build, hanging_connections=release.hanging_connections)
