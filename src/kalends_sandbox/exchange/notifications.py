"""From one change to the three to eight events that Exchange makes of it: some at once, the rest a little later.

Nothing is queued for a mailbox that nobody listens to, so the cost is that of the changes, not of the mailboxes.
Neighbours: the world tells what happened, nodes.py keeps the queues, faults.py loses, doubles and delays.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC
from random import Random

from kalends_sandbox.exchange.events import Event
from kalends_sandbox.exchange.nodes import Nodes, Subscription
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.soap import attribute
from kalends_sandbox.faults import Faults
from kalends_sandbox.folder import Folder
from kalends_sandbox.mailbox import Happening

_DUMMY_KEY = "CQAAAA=="  # events never carry a change key that could be used
_MAX_TIMERS = 50_000


class Notifier:
    """The world's listener. `close` forgets what was still to be sent."""

    def __init__(self, nodes: Nodes, faults: Faults, rng: Random, settings: Settings) -> None:
        self._nodes, self._faults, self._rng, self._settings = nodes, faults, rng, settings
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._serial = 0
        self._last: tuple[str, str] | None = None
        self._fate = (1, 0.0)

    def hear(self, happening: Happening) -> None:
        folders = _folders(happening)
        living = self._nodes.listening(happening.mailbox)
        listening = [one for one in living if one.terms.kind == "streaming" and one.terms.cover(folders)]
        if not listening and not self._nodes.has_history(happening.mailbox):
            return
        times, delay_s = self._fate_of(happening)
        at_once, later = self._events(happening)
        echo_s = delay_s + self._rng.uniform(*self._settings.echo_s)
        for _ in range(times):
            self._after(delay_s, lambda: self._send(happening, listening, at_once))
            if later:
                self._after(echo_s, lambda: self._send(happening, listening, later))

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fate_of(self, happening: Happening) -> tuple[int, float]:
        """How often and how late the change is told. Its free/busy event shares the fate of the change itself."""
        change = (happening.item_id, happening.change_key)
        if happening.what == "free_busy" and change == self._last:
            return self._fate
        names = ("lose_notification", "double_notification", "late_notification")
        fault = self._faults.strike(names, "Notification", happening.mailbox.primary)
        times, delay_s = 1, 0.0
        if fault is not None and fault.name == "lose_notification":
            times = 0
        elif fault is not None and fault.name == "double_notification":
            times = min(50, int(fault.number_of("times")))
        elif fault is not None:
            delay_s = fault.number_of("delay_s")
        self._last, self._fate = change, (times, delay_s)
        return self._fate

    def _events(self, happening: Happening) -> tuple[list[Event], list[Event]]:
        item = f"<t:ItemId Id={attribute(happening.item_id)} ChangeKey={attribute(_DUMMY_KEY)}/>"
        folder = f"<t:FolderId Id={attribute(happening.folder.id)} ChangeKey={attribute(_DUMMY_KEY)}/>"
        touched = _event("ModifiedEvent", happening, item)
        counted = _event("ModifiedEvent", happening, folder, of_folder=True)
        match happening.what:
            case "created":
                at_once = [_event("CreatedEvent", happening, item)]
                return at_once + [touched] * self._rng.randint(1, 2), [touched] * self._rng.randint(0, 1) + [counted]
            case "modified":
                return [touched], [touched] * self._rng.randint(1, 3) + [counted]
            case "deleted":
                return [_event("DeletedEvent", happening, item)], [counted] * 2
            case "moved":
                return [_event("MovedEvent", happening, item)], [touched, counted]
            case "copied":
                return [_event("CopiedEvent", happening, item)], [counted]
            case "new_mail":
                return [_event(kind, happening, item) for kind in ("NewMailEvent", "CreatedEvent")], [touched, counted]
            case "free_busy":
                return [_event("FreeBusyChangedEvent", happening, item)], []

    def _send(self, happening: Happening, listening: list[Subscription], events: list[Event]) -> None:
        self._nodes.keep(happening.mailbox, events)
        for subscription in listening:
            wanted = [event.xml() for event in events if event.concerns(subscription.terms)]
            if wanted:
                self._nodes.queue(subscription, wanted)

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        if delay_s <= 0 or len(self._timers) >= _MAX_TIMERS:
            act()
            return
        self._serial += 1
        number = self._serial

        def due() -> None:
            self._timers.pop(number, None)
            act()

        self._timers[number] = asyncio.get_running_loop().call_later(delay_s, due)


def _event(kind: str, happening: Happening, subject: str, of_folder: bool = False) -> Event:
    """One event. Of a folder, the parent is the folder above and the unread count follows, as Exchange has it."""
    at = happening.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    above = (happening.folder.parent or happening.folder) if of_folder else happening.folder
    rest = f"<t:UnreadCount>{happening.folder.unread}</t:UnreadCount>" if of_folder else ""
    if kind in ("MovedEvent", "CopiedEvent"):
        assert happening.old_item_id is not None
        assert happening.old_folder is not None
        rest = f"<t:OldItemId Id={attribute(happening.old_item_id)} ChangeKey={attribute(_DUMMY_KEY)}/>"
        rest += _parent("OldParentFolderId", happening.old_folder)
    parent = _parent("ParentFolderId", above)
    return Event(kind, f"<t:TimeStamp>{at}</t:TimeStamp>{subject}{parent}{rest}", _folders(happening))


def _folders(happening: Happening) -> frozenset[str]:
    """Those whose subscribers hear of it: where it happened, and where the item came from."""
    return frozenset(folder.id for folder in (happening.folder, happening.old_folder) if folder is not None)


def _parent(name: str, folder: Folder) -> str:
    return f"<t:{name} Id={attribute(folder.id)} ChangeKey={attribute(_DUMMY_KEY)}/>"
