"""What every operation gets in hand: the server's shared state (`Site`) and the one call being answered (`Call`)."""

from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from kalends_sandbox.desk import Desk
from kalends_sandbox.exchange.budgets import Budgets, Payer
from kalends_sandbox.exchange.reach import Reach, no_mailbox
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.soap import Element
from kalends_sandbox.faults import Faults
from kalends_sandbox.http import Request
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.world import ServiceAccount, World
from kalends_sandbox.zones import Zone

if TYPE_CHECKING:
    from kalends_sandbox.exchange.nodes import Nodes


@dataclass(frozen=True, slots=True)
class Site:
    """`born` tells this run of the server from any other: sync states of another run are not accepted."""

    world: World
    desk: Desk
    faults: Faults
    rng: Random
    settings: Settings
    nodes: "Nodes"
    budgets: Budgets
    born: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """`acting` is the mailbox in whose name the call is made: the impersonated one, else the account's own, if it has one."""

    operation: str
    element: Element
    request: Request
    account: ServiceAccount
    acting: Mailbox | None
    is_impersonating: bool
    zone: Zone | None  # of the request's TimeZoneContext
    reach: Reach

    @property
    def charged(self) -> str:
        """Whose budget pays: the impersonated mailbox, else the account."""
        if self.is_impersonating and self.acting is not None:
            return self.acting.primary
        return self.account.user.lower()

    @property
    def mailbox(self) -> str:
        """The mailbox this call is counted under; empty when it concerns none."""
        return self.acting.primary if self.acting is not None else ""

    @property
    def payer(self) -> Payer:
        """Whose budget pays for plain calls: the account has one of its own for each mailbox it acts for."""
        return self.account.user.lower(), self.mailbox

    def acting_mailbox(self) -> Mailbox:
        if self.acting is None:
            raise no_mailbox()
        return self.acting
