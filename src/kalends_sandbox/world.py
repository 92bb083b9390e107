"""The one truth behind all simulated systems: an organisation's people, rooms, mailboxes and who may see them.

Neighbours: worldfile.py describes a world, founding.py builds it; post.py and actions.py change it; the dialects show
it.
"""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kalends_sandbox.clock import Clock
from kalends_sandbox.ids import Ids
from kalends_sandbox.mailbox import Happening, Mailbox, MailboxKind, Place, Rights, WorkingHours, primary_first
from kalends_sandbox.rights import DEEDS, Permission
from kalends_sandbox.signpost import Signpost
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
    is_application: bool = False


@dataclass(frozen=True, slots=True)
class Application:
    """A registered application, which signs in by tokens. `is_granted`: the administrator consented to its access."""

    client_id: str
    secret: str
    name: str = ""
    impersonates: tuple[str, ...] = ()
    is_granted: bool = True

    @property
    def caller(self) -> ServiceAccount:
        """The application as somebody who calls."""
        return ServiceAccount(self.client_id, "", self.impersonates, is_application=True)


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
        self.applications: list[Application] = []
        self.permissions: list[Permission] = []
        self.signpost = Signpost()
        self.listeners: list[Callable[[Happening], None]] = []
        self.mails: Counter[str] = Counter()  # by kind, as post.py has them
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

    @property
    def netbios_domain(self) -> str:
        """The domain's short name, in front of the backslash."""
        return self.domain.partition(".")[0][:15].upper() or "SANDBOX"

    def account(self, user: str) -> ServiceAccount | None:
        """By name, `DOMAIN\\name` or `name@domain`: for the world's own domain these are one and the same."""
        wanted = self._sign_in_name(user)
        return next((found for found in self.accounts if self._sign_in_name(found.user) == wanted), None)

    def _sign_in_name(self, user: str) -> str:
        user = user.strip().lower()
        domain, slash, name = user.rpartition("\\")
        if not slash or "@" in name:  # `\\name@domain` is a name@domain too
            name, _, domain = name.partition("@")
        is_own = domain in ("", self.domain.lower(), self.netbios_domain.lower())
        return name if is_own else f"{name}@{domain}"

    @property
    def tenant_id(self) -> str:
        """The organisation's id at its identity provider."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.domain))

    def application(self, client_id: str) -> Application | None:
        wanted = client_id.strip().lower()
        return next((found for found in self.applications if found.client_id.lower() == wanted), None)

    def may_impersonate(self, account: ServiceAccount, mailbox: Mailbox) -> bool:
        return any(self._covers(scope, mailbox) for scope in account.impersonates)

    def permission(self, account: ServiceAccount, acting: Mailbox | None, mailbox: Mailbox) -> Permission | None:
        """The strongest permission in that mailbox of the account, or of the mailbox in whose name it acts."""
        found = [
            one
            for one in self.permissions
            if self._is_granted_to(one.user, account, acting)
            and any(self._covers(scope, mailbox) for scope in one.mailboxes)
        ]
        return max(found, key=lambda one: list(DEEDS).index(one.level), default=None)

    def _is_granted_to(self, user: str, account: ServiceAccount, acting: Mailbox | None) -> bool:
        if acting is not None and user.strip().lower() in acting.addresses:
            return True
        return self._sign_in_name(user) == self._sign_in_name(account.user)

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
