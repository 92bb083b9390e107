"""What a provider is: small protocols that it may implement, and the situations it may report.

`sync` drives providers through these alone; a vendor's words stop at its codec. A provider does I/O only through the
HTTP door given to it, takes time and randomness as arguments, and holds no state that a restart may not lose.

    ProviderError
    ├── CursorExpired    the delta state is lost: read everything again
    ├── Throttled        wait until `until`
    ├── AuthLost         the account's credentials or rights are refused: an admin must act; never retried in a loop
    ├── CalendarGone     this calendar can't be found or opened; deletes nothing
    │   └── NotAllowed   … because the account has no right to it
    ├── Conflict         somebody else changed the item first
    ├── Rejected         the provider understood and said no
    └── Unavailable      no usable answer: network, TLS, 5xx, malformed or oversized replies
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NewType, Protocol, runtime_checkable

from kalends.model.event import CalendarId, Event, ItemId, Unreadable, Version
from kalends.model.time import Span

Cursor = NewType("Cursor", str)
"""The provider's opaque delta state, possibly holding what is still to be read of a pull in several pages."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts about a provider that the engine obeys. Durations are real time."""

    kind: str
    poll_every: timedelta
    """How often to look when nothing wakes a calendar."""
    poll_every_while_listening: timedelta
    """How often to look although a stream would have told."""
    reconcile_every: timedelta
    """How often to read everything again, as proof."""
    calls_at_once: int
    """How many requests an account bears in parallel."""
    past: timedelta = timedelta(days=7)
    ahead: timedelta = timedelta(days=400)
    trailing: timedelta = timedelta(milliseconds=200)
    """How long after a pull the wakes that came during it are folded into one more."""
    never_told: str = ""
    """Why no stream can listen for this account's calendars, as half a sentence after “because”. Empty: one can."""


@dataclass(frozen=True, slots=True)
class RemoteCalendar:
    """A calendar that an account can reach. `address` is its primary address, lower case."""

    address: CalendarId
    name: str
    is_room: bool = False
    building: str | None = None
    """The list or building it was found in."""


@dataclass(frozen=True, slots=True)
class KnownItem:
    version: Version
    master: ItemId | None = None


Known = Mapping[ItemId, KnownItem]
"""What the store holds of a calendar: id → version and, for instances and exceptions, the series they belong to."""


@dataclass(frozen=True, slots=True)
class InWindow:
    """Every single event, instance and exception that overlaps `span` is in the page."""

    span: Span


@dataclass(frozen=True, slots=True)
class OfSeries:
    """Every instance and exception of the series `master` that overlaps `span` is in the page."""

    master: ItemId
    span: Span


Scope = InWindow | OfSeries


@dataclass(frozen=True, slots=True)
class Page:
    """One step of a pull. What `complete` covers and the page does not hold is gone; so is what `removed` names.

    Removing a series removes its instances. Event spans may reach beyond the window; an event wholly outside it may be
    left out. `unchanged` names items seen at the known version and therefore not fetched again: they are in the page
    for the purpose of `complete`.
    """

    events: tuple[Event, ...]
    removed: frozenset[ItemId]
    cursor: Cursor
    more: bool
    """True: call `pull` again with `cursor` to go on; the pull is not finished."""
    complete: tuple[Scope, ...] = ()
    unchanged: frozenset[ItemId] = frozenset()
    unreadable: tuple[Unreadable, ...] = ()


class ProviderError(Exception):
    """The calendar system could not do what was asked."""


class CursorExpired(ProviderError):
    """The calendar system no longer knows where we left off; everything is read again. Nothing needs to be done."""


@dataclass(eq=False)
class Throttled(ProviderError):
    """The calendar system asks for a pause."""

    wait: timedelta | None
    """How long, if it said so."""
    reason: str = "The server is busy."
    whole_account: bool = True

    def __str__(self) -> str:
        return self.reason


class AuthLost(ProviderError):
    """The account's sign-in or rights were refused. The message says what was refused and what the admin can do."""


class CalendarGone(ProviderError):
    """This calendar can't be opened: no such mailbox, no calendar in it, or no right to it. The message says which."""


class NotAllowed(CalendarGone):
    """The account has no right to open this calendar. The message says which is missing."""


class Conflict(ProviderError):
    """Somebody changed the item in the meantime."""


class Rejected(ProviderError):
    """The calendar system refused the request for the reason given."""


class Unavailable(ProviderError):
    """No usable answer came. The message says what happened and what to check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of checking an account: what was tried, whether it worked and, if not, a sentence with what to do."""

    step: str
    ok: bool
    detail: str
    warning: bool = False


@runtime_checkable
class Provider(Protocol):
    """The least a calendar source must do."""

    traits: Traits

    def calendars(self) -> AsyncIterator[RemoteCalendar]:
        """Every calendar that can be discovered with this account (room lists, directory)."""
        ...

    async def pull(self, calendar: CalendarId, cursor: Cursor | None, window: Span, known: Known) -> Page:
        """The next page of what differs from `cursor`; with `cursor` None a full read that ends with everything covered.

        `window` is the span whose events are wanted; it rolls on from pull to pull, and the part that came into sight
        since the cursor is read too.
        """
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stream tells: these calendars may have changed. Empty: a heartbeat, the stream is alive."""

    calendars: frozenset[CalendarId] = frozenset()
    failed: Mapping[CalendarId, ProviderError] = field(default_factory=dict)
    """Calendars that can't be listened to; the others go on."""


@runtime_checkable
class Streamer(Protocol):
    """A provider that can be told of changes over a connection which the hub opens."""

    calendars_per_stream: int

    def listen(self, calendars: frozenset[CalendarId]) -> AsyncIterator[Heard]:
        """Listens until cancelled or a ProviderError; reconnects by itself at the provider's own time limit.

        Every calendar is named once after each (re)subscription and reconnect, since something may have been missed.
        Something is yielded at least every 90 s of real time; else Unavailable is raised.
        """
        ...


@runtime_checkable
class Details(Protocol):
    """A provider that can be asked for single meetings, for accounts whose details are never stored."""

    async def details(self, calendar: CalendarId, items: Sequence[ItemId]) -> Mapping[ItemId, Event]:
        """Each item as it stands now; those that are gone or can't be read are left out. Raises ProviderError.

        An instance may come without its `master`: an item alone doesn't tell which series it belongs to.
        """
        ...


@runtime_checkable
class Directory(Protocol):
    """A provider that can turn an address into the primary address of a mailbox."""

    async def resolve(self, address: str) -> RemoteCalendar:
        """The calendar with this address, by its primary address. Raises CalendarGone with the reason if there is none."""
        ...


@runtime_checkable
class Checker(Protocol):
    """A provider whose set-up can be tried step by step, for the admin's eyes."""

    def check(self, calendar: CalendarId | None) -> AsyncIterator[Finding]: ...


@runtime_checkable
class Restricted(Protocol):
    """A provider whose account can be limited to some calendars on the server's side."""

    def rights(self, group: str | None) -> str:
        """Commands for the server's administrator: rooms, the members of `group`, and nobody else."""
        ...

    async def refuses(self, address: str) -> Finding:
        """Whether somebody's calendar is refused, as it should be; what to do if it is not."""
        ...

    async def opens(self, calendar: CalendarId) -> Finding:
        """Whether a calendar that the account needs can be opened."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """One thing said between the hub and a server, as it may be kept: secrets and private fields are masked."""

    conversation: int
    """The same for a request and all of its answer."""
    kind: Literal["request", "answer", "more", "failure"]
    """`more`: a further document of an answer that goes on. `failure`: no usable answer, or the end of one."""
    title: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    note: str = ""
    """What of the body is not here, and why."""


class Ear(Protocol):
    def hear(self, say: Callable[[], Spoken], size_bytes: int) -> None:
        """Returns at once and never raises. `say` masks, which takes a while: it is called later, or never.

        `size_bytes` is what is held in memory until then.
        """
        ...


@runtime_checkable
class Overheard(Protocol):
    """A provider whose conversations with its server can be listened to."""

    def overhear(self, ear: Ear | None) -> None:
        """From now on `ear` hears everything that is said, also on open streams; None: nobody does."""
        ...
