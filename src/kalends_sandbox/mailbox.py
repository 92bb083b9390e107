"""Mailboxes and what happens in them. Neighbours: folder.py and place.py below; world.py above."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from kalends_sandbox.clock import Clock
from kalends_sandbox.folder import Distinguished, Folder, What
from kalends_sandbox.ids import Ids
from kalends_sandbox.item import Item
from kalends_sandbox.place import BookingRules, Place, WorkingHours
from kalends_sandbox.zones import UTC_ZONE, Zone

MailboxKind = Literal["user", "room", "equipment"]
Rights = Literal["None", "AvailabilityOnly", "LimitedDetails", "Reviewer"]

__all__ = ["BookingRules", "Folder", "Happening", "Mailbox", "MailboxKind", "Place", "Rights", "WorkingHours"]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to one item: what notifications are made of.

    `item_id` is the master's for any change of a series.
    """

    mailbox: "Mailbox"
    what: What
    item_id: str
    change_key: str
    folder: "Folder"
    at: datetime
    old_item_id: str | None = None  # moved and copied only
    old_folder: "Folder | None" = None


@dataclass(eq=False)
class Mailbox:
    """One person's, room's or thing's mailbox.

    `addresses` begins with the primary one; all lower case. `place` is set for rooms; in some people check in.
    """

    name: str
    addresses: tuple[str, ...]
    kind: MailboxKind
    sid: str
    upn: str
    zone: Zone = UTC_ZONE
    working_hours: WorkingHours = field(default_factory=WorkingHours)
    place: Place | None = None
    title: str = ""
    department: str = ""
    default_rights: Rights = "AvailabilityOnly"  # what everybody may see of the calendar
    folders: dict[Distinguished, Folder] = field(default_factory=dict)
    listeners: list[Callable[[Happening], None]] = field(default_factory=list)
    checked_in: dict[tuple[str, datetime], datetime] = field(default_factory=dict)  # meeting and start: until when

    @property
    def primary(self) -> str:
        return self.addresses[0]

    @property
    def calendar(self) -> Folder | None:
        """None for a mailbox without a calendar folder."""
        return self.folders.get("calendar")

    def folder(self, folder_id: str) -> Folder | None:
        return next((folder for folder in self.folders.values() if folder.id == folder_id), None)

    def find(self, item_id: str) -> tuple[Folder, Item] | None:
        """An item or occurrence and the folder it lies in."""
        found = ((folder, folder.find(item_id)) for folder in self.folders.values())
        return next(((folder, item) for folder, item in found if item is not None), None)

    def furnish(self, ids: Ids, clock: Clock, with_calendar: bool = True) -> None:
        """Give a new mailbox its folders.

        One without a calendar exists too: shared and migrated mailboxes may lack it.
        """
        names: Mapping[Distinguished, str] = {
            "root": "", "msgfolderroot": "Top of Information Store", "calendar": "Calendar",
            "inbox": "Inbox", "sentitems": "Sent Items", "deleteditems": "Deleted Items", "drafts": "Drafts",
            "recoverableitemsdeletions": "Deletions",
        }  # fmt: skip
        parents: Mapping[Distinguished, Distinguished] = {"msgfolderroot": "root", "recoverableitemsdeletions": "root"}
        for kind in names:
            if kind == "calendar" and not with_calendar:
                continue
            parent = None if kind == "root" else self.folders[parents.get(kind, "msgfolderroot")]
            self.folders[kind] = Folder(ids.folder(), kind, names[kind], ids, clock, self._announcer(clock), parent)

    def move(self, item_id: str, to: Folder) -> Item:
        """Into another folder of this mailbox, or out of its own and back: as in Exchange the item gets a new id.

        KeyError when unknown.
        """
        source = next((folder for folder in self.folders.values() if item_id in folder.items), None)
        if source is None:
            raise KeyError(item_id)
        old = source.take(item_id)
        item = to.receive(old)
        self._tell("moved", item, to, old_item_id=item_id, old_folder=source, at=to.now())
        return item

    def migrate(self) -> None:
        """To another server: same meetings, same UIDs, but every id of a folder or item is a new one."""
        for folder in self.folders.values():
            folder.renew()

    def copy(self, item_id: str, to: Folder) -> Item:
        """A second item like it, in another folder or beside it, under an id of its own. KeyError when unknown."""
        source = next((folder for folder in self.folders.values() if item_id in folder.items), None)
        if source is None:
            raise KeyError(item_id)
        item = to.keep(source.items[item_id])
        self._tell("copied", item, to, old_item_id=item_id, old_folder=source, at=to.now())
        return item

    def _announcer(self, clock: Clock) -> Callable[[What, Item, Folder], None]:
        def announce(what: What, item: Item, folder: Folder) -> None:
            self._tell(what, item, folder, at=clock.now())

        return announce

    def _tell(
        self,
        what: What,
        item: Item,
        folder: Folder,
        *,
        at: datetime,
        old_item_id: str | None = None,
        old_folder: Folder | None = None,
    ) -> None:
        happening = Happening(self, what, item.item_id, item.change_key, folder, at, old_item_id, old_folder)
        for listener in tuple(self.listeners):
            listener(happening)


def primary_first(primary: str, others: Iterable[str]) -> tuple[str, ...]:
    """Addresses in lower case, each once, the primary one in front."""
    return tuple(dict.fromkeys(address.lower() for address in (primary, *others)))
