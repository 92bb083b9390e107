"""The one truth behind all simulated systems: an organisation's people, rooms, mailboxes and who may see them.

Neighbours: worldfile.py describes a world, founding.py builds it; post.py and actions.py change it; the dialects show
it.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kalends_sandbox.clock import Clock
from kalends_sandbox.ids import Ids
from kalends_sandbox.mailbox import Happening, Mailbox, MailboxKind, Place, Rights, WorkingHours, primary_first
from kalends_sandbox.zones import UTC_ZONE, Zone


@dataclass(frozen=True, slots=True)
class RoomList:
    """A distribution list of rooms, normally one per building.

    `rooms` are primary addresses, in the order they are shown.
    """

    name: str
    address: str
    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Somebody who signs in.

    `impersonates` lists addresses with * and ? allowed, `list:ADDRESS` for a room list, or just `*`.
    """

    user: str
    password: str
    impersonates: tuple[str, ...] = ()
    mailbox: str | None = None  # the account's own, when it has one


class World:
    """Everything is found by any of its names, whatever their case. `listeners` hear of each change once, in order."""

    def __init__(
        self, clock: Clock, rng: random.Random, domain: str = "", name: str = "", zone: Zone = UTC_ZONE
    ) -> None:
        self.clock = clock
        self.ids = Ids(random.Random(rng.getrandbits(64)))  # noqa: S311  # repeatable on purpose
        self.rng = rng
        self.domain, self.name, self.zone = domain, name, zone
        self.mailboxes: list[Mailbox] = []
        self.room_lists: list[RoomList] = []
        self.accounts: list[ServiceAccount] = []
        self.listeners: list[Callable[[Happening], None]] = []
        self.mails: Counter[str] = (
            Counter()
        )  # by kind: invitation, update, cancellation, acceptance, refusal, tentative
        self._by_address: dict[str, Mailbox] = {}
        self._by_upn: dict[str, Mailbox] = {}
        self._by_sid: dict[str, Mailbox] = {}
        self._sid_authority = "-".join(str(rng.getrandbits(31)) for _ in range(3))

    @property
    def people(self) -> list[Mailbox]:
        return [mailbox for mailbox in self.mailboxes if mailbox.kind == "user"]

    @property
    def rooms(self) -> list[Mailbox]:
        return [mailbox for mailbox in self.mailboxes if mailbox.kind == "room"]

    def add_mailbox(
        self,
        name: str,
        address: str,
        kind: MailboxKind = "user",
        *,
        aliases: tuple[str, ...] = (),
        upn: str | None = None,
        zone: Zone | None = None,
        working_hours: WorkingHours | None = None,
        place: Place | None = None,
        title: str = "",
        department: str = "",
        with_calendar: bool = True,
        default_rights: Rights = "AvailabilityOnly",
    ) -> Mailbox:
        """A new mailbox with its folders. ValueError when an address or sign-in name is taken."""
        addresses = primary_first(address, aliases)
        upn = (upn or address).lower()
        taken = [known for known in addresses if known in self._by_address] + [upn] * (upn in self._by_upn)
        if taken:
            raise ValueError(f"The address {taken[0]} is given twice: every mailbox needs addresses of its own.")
        sid = f"S-1-5-21-{self._sid_authority}-{1101 + len(self.mailboxes)}"
        mailbox = Mailbox(
            name,
            addresses,
            kind,
            sid,
            upn,
            zone or self.zone,
            working_hours or WorkingHours(),
            place,
            title,
            department,
            default_rights,
        )
        mailbox.furnish(self.ids, self.clock, with_calendar)
        mailbox.listeners.append(self._tell)
        self.mailboxes.append(mailbox)
        self._by_address.update(dict.fromkeys(addresses, mailbox))
        self._by_upn[upn] = self._by_sid[sid.lower()] = mailbox
        return mailbox

    def mailbox(self, address: str) -> Mailbox | None:
        """By any of its addresses."""
        return self._by_address.get(address.strip().lower())

    def by_upn(self, upn: str) -> Mailbox | None:
        return self._by_upn.get(upn.strip().lower())

    def by_sid(self, sid: str) -> Mailbox | None:
        return self._by_sid.get(sid.strip().lower())

    def room_list(self, address: str) -> RoomList | None:
        wanted = address.strip().lower()
        return next((found for found in self.room_lists if found.address.lower() == wanted), None)

    def account(self, user: str) -> ServiceAccount | None:
        wanted = user.strip().lower()
        return next((found for found in self.accounts if found.user.lower() == wanted), None)

    def may_impersonate(self, account: ServiceAccount, mailbox: Mailbox) -> bool:
        return any(self._covers(scope, mailbox) for scope in account.impersonates)

    def _covers(self, scope: str, mailbox: Mailbox) -> bool:
        if scope.startswith("list:"):
            rooms = self.room_list(scope.removeprefix("list:"))
            return rooms is not None and mailbox.primary in rooms.rooms
        return any(fnmatchcase(address, scope.lower()) for address in mailbox.addresses)

    def _tell(self, happening: Happening) -> None:
        for listener in tuple(self.listeners):
            listener(happening)


def named(world: World, text: str) -> Iterator[Mailbox]:
    """Mailboxes that a typed name, first letters of a name, or address means: what ResolveNames and people in a hurry
    need.
    """
    wanted = text.strip().lower().removeprefix("smtp:")
    exact = world.mailbox(wanted)
    if exact is not None:
        yield exact
        return
    for mailbox in world.mailboxes:
        words = [mailbox.name.lower(), *mailbox.name.lower().split(), *mailbox.addresses]
        if wanted and any(word.startswith(wanted) for word in words):
            yield mailbox
