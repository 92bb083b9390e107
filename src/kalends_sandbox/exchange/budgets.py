"""What each caller may still ask for: a token bucket per account and target mailbox, off unless the settings say so.

A budget begins full (`max_burst_ms`), every call and item takes its cost, and time gives it back (`recharge_ms_per_hour`).
It may be overdrawn by `cutoff_ms`; beyond that the caller is locked out until all of the debt is paid, and is told for how
long. Sandbox time counts. Neighbours: server.py asks before each call, the operations charge for what they carried.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from kalends_sandbox.clock import Clock
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.soap import Fault, Refusal

Payer = tuple[str, str]  # the account, and the mailbox in whose name it calls

BUSY: Final = "The server cannot service this request right now. Try again later."
_HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class _Balance:
    left_ms: float
    at: datetime
    is_locked: bool = False


class Budgets:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._balances: dict[Payer, _Balance] = {}

    def admit(self, payer: Payer) -> None:
        """Charges for a call; a fault when the caller is locked out."""
        back_off_ms = self.back_off_ms(payer)
        if back_off_ms:
            raise Fault("ErrorServerBusy", BUSY, {"BackOffMilliseconds": str(back_off_ms)})
        self._take(payer, self._settings.call_cost_ms)

    def admit_item(self, payer: Payer) -> None:
        """Charges for one item of a batch; refused when those before it have used the budget up."""
        back_off_ms = self.back_off_ms(payer)
        if back_off_ms:
            raise Refusal("ErrorServerBusy", BUSY, {"BackOffMilliseconds": str(back_off_ms)})
        self.charge(payer, 1)

    def charge(self, payer: Payer, items: int) -> None:
        """Charges for items that were carried already."""
        self._take(payer, items * self._settings.item_cost_ms)

    def back_off_ms(self, payer: Payer) -> int:
        """How long the caller is locked out; 0 when it is not."""
        if not self._settings.budget:
            return 0
        balance = self._recharged(payer)
        if not balance.is_locked:
            return 0
        return max(
            1, ceil(-balance.left_ms / self._settings.recharge_ms_per_hour * (_HOUR / timedelta(milliseconds=1)))
        )

    def _take(self, payer: Payer, cost_ms: float) -> None:
        if not self._settings.budget:
            return
        balance = self._recharged(payer)
        balance.left_ms -= cost_ms
        balance.is_locked = balance.is_locked or balance.left_ms < -self._settings.cutoff_ms

    def _recharged(self, payer: Payer) -> _Balance:
        """The balance as it is now. A clock that was set back gives nothing and takes nothing."""
        now, most = self._clock.now(), self._settings.max_burst_ms
        balance = self._balances.setdefault(payer, _Balance(most, now))
        passed = max(now - balance.at, timedelta(0))
        balance.left_ms = min(most, balance.left_ms + passed / _HOUR * self._settings.recharge_ms_per_hour)
        balance.at = now
        balance.is_locked = balance.is_locked and balance.left_ms < 0
        return balance
