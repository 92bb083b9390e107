"""What the web side needs from the rest. `app.py`'s hub satisfies it; tests build their own."""

from datetime import timedelta
from typing import Protocol

from prometheus_client import CollectorRegistry

from kalends.bus import Bus
from kalends.clock import Clock
from kalends.features.details import DetailsReader
from kalends.ids import Ids
from kalends.store.contents import Contents
from kalends.store.door import Store


class Wiring(Protocol):
    @property
    def store(self) -> Store: ...
    @property
    def contents(self) -> Contents: ...
    @property
    def details(self) -> DetailsReader:
        """Asks calendars for what is not stored."""
        ...

    @property
    def bus(self) -> Bus: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def registry(self) -> CollectorRegistry: ...
    @property
    def version(self) -> str: ...

    @property
    def organization(self) -> str:
        """The id of the organization this process serves."""
        ...

    @property
    def base_url(self) -> str:
        """How browsers reach Kalends, without a slash at the end; `https` makes cookies secure."""
        ...

    @property
    def stale_after(self) -> timedelta:
        """How long a room may go unproved before it is unknown, on the clock (already stretched)."""
        ...
