"""How this Exchange Server is set up; every figure is Exchange 2016's or 2019's default unless its comment says otherwise."""

from dataclasses import dataclass, replace
from typing import Literal

from kalends_sandbox.exchange.door import Method
from kalends_sandbox.exchange.ntlm import Protection
from kalends_sandbox.exchange.releases import RELEASES, Build, ReleaseName, release_of


@dataclass(slots=True)
class Settings:
    """A server keeps a copy of its own, in which the control API turns the limits (limits.py) while it runs."""

    sign_in: tuple[Method, ...] = ("basic",)  # what the door offers; Exchange itself: negotiate and ntlm
    extended_protection: Protection = "none"  # of EWS; for Autodiscover it is always off, as Microsoft has it
    nodes: int = 3  # mailbox servers behind the load balancer
    build: Build = RELEASES["2019"].build
    hanging_connections: int | None = None  # HangingConnectionLimit: streams per account charged; None: the release's
    concurrency: int = 27  # EWSMaxConcurrency: plain calls at a time per account and target
    concurrency_answer: Literal["fault", "busy", "503"] = (
        "fault"  # ErrorExceededConnectionCount, ErrorServerBusy, HTTP 503
    )
    subscriptions_per_mailbox: int = 5000  # EWSMaxSubscriptions
    ids_per_stream: int = 200
    rows_per_find: int = 1000  # EWSFindCountLimit
    rows_per_search: int = 250  # the same, with a restriction or query string
    availability_days: int = 62
    availability_mailboxes: int = 100
    availability_members: int = 100  # of a distribution list
    budget: bool = False  # EwsMaxBurst, EwsRechargeRate and EwsCutoffBalance count
    max_burst_ms: int = 300_000
    recharge_ms_per_hour: int = 900_000
    cutoff_ms: int = 3_000_000
    call_cost_ms: int = 20  # what a call takes of the budget (a real one takes what it took; here time may stand still)
    item_cost_ms: int = 5  # and each item, row or mailbox in it
    heartbeat_s: float = 45.0
    minute_s: float = 60.0  # a minute of ConnectionTimeout or Timeout; tests make it shorter
    subscription_idle_s: float = 300.0  # how long events are kept with no stream attached (Exchange does not say)
    queued_events: int = 2000  # a subscription that falls further behind is lost
    echo_s: tuple[float, float] = (0.05, 0.4)  # how much later the repeated events of one change come
    answers_in_context_zone: bool = False  # times with the offset of the request's TimeZoneContext instead of Z

    def as_release(self, name: ReleaseName) -> "Settings":
        """The same set-up on another release: its build, and with it every limit that was left to the release."""
        return replace(self, build=RELEASES[name].build)

    @property
    def streams_at_once(self) -> int:
        if self.hanging_connections is not None:
            return self.hanging_connections
        return release_of(self.build).hanging_connections
