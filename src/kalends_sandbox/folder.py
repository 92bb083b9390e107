"""A mailbox's folder: the only place where items get ids and change keys, and where changes are logged and announced.

The log answers SyncFolderItems, the announcements become notifications. Neighbours: item.py, series.py; mailbox.py
above.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from kalends_sandbox import series
from kalends_sandbox.clock import Clock
from kalends_sandbox.ids import Ids, clean_uid, master_fingerprint, read_occurrence_id
from kalends_sandbox.item import Item

Distinguished = Literal[
    "root", "msgfolderroot", "calendar", "inbox", "sentitems", "deleteditems", "drafts", "recoverableitemsdeletions"
]
What = Literal["created", "modified", "deleted", "moved", "copied", "new_mail", "free_busy"]

MAX_TOMBSTONES = 10_000
MAX_VERSIONS = 100


@dataclass(frozen=True, slots=True)
class Change:
    """The last thing that the log knows of one item: it is there (since `appeared`), or gone."""

    sequence: int
    item_id: str
    appeared: int
    gone: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """What a reader at some sequence has missed.

    Each item is in at most one list; both are in the order of the last change. `base` is where the reader's last
    complete reading ended: to be handed back with `sequence`.
    """

    created: tuple[Item, ...]
    updated: tuple[Item, ...]
    deleted: tuple[str, ...]
    sequence: int
    more: bool
    base: int


class Folder:
    """Items by id and a log of their changes.

    `horizon`: a reader from before it has lost deletions and must start again.
    """

    def __init__(
        self,
        folder_id: str,
        kind: Distinguished,
        name: str,
        ids: Ids,
        clock: Clock,
        announce: Callable[[What, Item, "Folder"], None],
        parent: "Folder | None" = None,
    ) -> None:
        self.id = folder_id
        self.change_key = ids.change_key()
        self.kind = kind
        self.name = name
        self.parent = parent
        self.items: dict[str, Item] = {}
        self.sequence = 0
        self.horizon = 0
        self.unread = 0  # messages
        self.changed = clock.now()
        self.deletions = 0
        self._ids, self._clock, self._announce = ids, clock, announce
        self._log: dict[str, Change] = {}  # in the order of the last change
        self._tombstones = 0
        self._by_fingerprint: dict[bytes, str] = {}
        self._by_uid: dict[str, list[str]] = {}
        self._versions: dict[str, Item] = {}  # what was replaced, by its change key, oldest first

    @property
    def folder_class(self) -> str:
        return "IPF.Appointment" if self.kind == "calendar" else "IPF.Note"

    @property
    def count(self) -> int:
        return len(self.items)

    def add(self, draft: Item, what: What = "created") -> Item:
        """Keep a new item: it gets an id of this folder, a change key and its times."""
        item = self.keep(draft)
        self._announce(what, item, self)
        if item.takes_time and self.kind == "calendar":
            self._announce("free_busy", item, self)
        return item

    def keep(self, draft: Item) -> Item:
        """A new item, announced by nobody."""
        now = self._clock.now()
        item = replace(
            draft,
            item_id=self._ids.item(),
            change_key=self._ids.change_key(),
            created=draft.created or now,
            modified=now,
        )
        self._keep(item)
        return item

    def save(self, item: Item) -> Item:
        """Replace an item by its next version: same id, new change key. KeyError when the folder does not hold it."""
        before = self.items[item.item_id]
        item = replace(item, change_key=self._ids.change_key(), modified=self._clock.now())
        self._keep(item)
        self._remember(before)
        self._announce("modified", item, self)
        if self.kind == "calendar" and _busy_shape(before) != _busy_shape(item):
            self._announce("free_busy", item, self)
        return item

    def remove(self, item_id: str) -> Item:
        """Delete for good. KeyError when the folder does not hold it."""
        item = self.take(item_id)
        self._announce("deleted", item, self)
        if item.takes_time and self.kind == "calendar":
            self._announce("free_busy", item, self)
        return item

    def take(self, item_id: str) -> Item:
        """Out of the folder and into the log as gone, announced by nobody: the mailbox says whether it moved or was
        deleted.
        """
        item = self.items.pop(item_id)
        self.unread -= _is_unread(item)
        self._by_fingerprint.pop(master_fingerprint(item_id), None)
        self._by_uid[item.clean_uid].remove(item_id)
        if not self._by_uid[item.clean_uid]:
            del self._by_uid[item.clean_uid]
        self._record(item_id, gone=True)
        return item

    def receive(self, item: Item) -> Item:
        """A moved item comes in under a new id, announced by nobody, keeping its times."""
        item = replace(item, item_id=self._ids.item(), change_key=self._ids.change_key())
        self._keep(item)
        return item

    def renew(self) -> None:
        """The folder and everything in it under new ids, as after a migration. Nobody is told, and readers must start again."""
        kept = list(self.items.values())
        self.id, self.change_key = self._ids.folder(), self._ids.change_key()
        self.items, self._log, self._by_fingerprint, self._by_uid = {}, {}, {}, {}
        self._tombstones = 0
        self.sequence += 1
        self.horizon = self.sequence
        for item in kept:
            self.receive(item)

    def version(self, item_id: str, change_key: str) -> Item | None:
        """The item as it was under that change key; None when that is too long ago, or never was."""
        known = self.items.get(item_id)
        if known is not None and known.change_key == change_key:
            return known
        before = self._versions.get(change_key)
        return before if before is not None and before.item_id == item_id else None

    def now(self) -> datetime:
        return self._clock.now()

    def find(self, item_id: str) -> Item | None:
        """Single, master, occurrence or exception by its id.

        None when unknown, deleted, or from before the pattern changed.
        """
        if item_id in self.items:
            return self.items[item_id]
        original = self.original_of(item_id)
        if original is None or original[1] in original[0].deleted:
            return None
        return series.occurrence(*original)

    def original_of(self, occurrence_id: str) -> tuple[Item, datetime] | None:
        """The master and original start behind an occurrence's id, also of a deleted occurrence."""
        read = read_occurrence_id(occurrence_id)
        if read is None:
            return None
        fingerprint, generation, start = read
        master = self.items.get(self._by_fingerprint.get(fingerprint, ""))
        if master is None or master.generation != generation or not series.falls_on(master, start):
            return None
        return master, start

    def by_uid(self, uid: str) -> tuple[Item, ...]:
        """Everything of one meeting that lies here, by exact UID; normally one item."""
        return tuple(item for item in self.related(clean_uid(uid)) if item.uid == uid)

    def related(self, uid: str) -> tuple[Item, ...]:
        """Everything with this clean UID: the meeting, and occurrences of it that came as single invitations."""
        return tuple(self.items[item_id] for item_id in self._by_uid.get(uid, ()))

    def view(self, since: datetime, until: datetime, touching: bool = False) -> list[Item]:
        """Single items and unfolded occurrences that overlap the span, by start, then id.

        ValueError beyond five years.
        """
        if until - since > series.MAX_SPAN:
            raise ValueError("A calendar is shown for at most five years at a time: ask for a shorter span.")
        found: list[Item] = []
        for item in self.items.values():
            if item.recurrence is not None:
                found.extend(series.occurrences(item, since, until, touching))
            elif series.overlaps(item, since, until, touching):
                found.append(item)
        return sorted(found, key=lambda item: (item.start, item.end, item.item_id))

    def changes_since(self, sequence: int, limit: int, base: int | None = None) -> Delta:
        """What a reader at `sequence` (0: knows nothing) has missed, oldest first, at most `limit` items.

        In the middle of a reading `base` says where it began. The log knows only the last change of an item, so one
        that appeared since then and was changed again may never have been told: it comes as created, at worst twice.
        """
        base = sequence if base is None else base
        missed: list[Change] = []
        for change in reversed(self._log.values()):
            if change.sequence <= sequence:
                break
            missed.append(change)
        missed = [change for change in reversed(missed) if not (change.gone and change.appeared > sequence)]
        page, more = missed[:limit], len(missed) > limit
        alive = [change for change in page if not change.gone]
        reached = page[-1].sequence if more else self.sequence
        return Delta(
            created=tuple(self.items[change.item_id] for change in alive if change.appeared > base),
            updated=tuple(self.items[change.item_id] for change in alive if change.appeared <= base),
            deleted=tuple(change.item_id for change in page if change.gone),
            sequence=reached,
            more=more,
            base=base if more else reached,
        )

    def _keep(self, item: Item) -> None:
        if item.item_id not in self.items:
            self._by_fingerprint[master_fingerprint(item.item_id)] = item.item_id
            self._by_uid.setdefault(item.clean_uid, []).append(item.item_id)
        assert item.item_id in self._by_uid[item.clean_uid], "an item keeps its UID as long as it lives"
        self.unread += _is_unread(item) - _is_unread(self.items.get(item.item_id))
        self.items[item.item_id] = item
        self._record(item.item_id, gone=False)

    def _remember(self, before: Item) -> None:
        self._versions[before.change_key] = before
        if len(self._versions) > MAX_VERSIONS:
            del self._versions[next(iter(self._versions))]

    def _record(self, item_id: str, gone: bool) -> None:
        self.sequence += 1
        self.changed = self._clock.now()
        self.deletions += gone
        before = self._log.pop(item_id, None)
        appeared = self.sequence if before is None else before.appeared
        self._log[item_id] = Change(self.sequence, item_id, appeared, gone)
        if gone:  # ids are never given twice, so what is gone stays gone
            self._tombstones += 1
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        if self._tombstones <= MAX_TOMBSTONES:
            return
        oldest = next(change for change in self._log.values() if change.gone)
        del self._log[oldest.item_id]
        self._tombstones -= 1
        self.horizon = oldest.sequence


def _is_unread(item: Item | None) -> bool:
    return item is not None and item.letter is not None and not item.letter.is_read


def _busy_shape(item: Item) -> tuple[object, ...]:
    return item.start, item.end, item.takes_time, item.show_as, item.recurrence, item.exceptions, item.deleted
