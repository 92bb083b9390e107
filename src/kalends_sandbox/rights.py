"""Who may do what in whose calendar: what owners grant to others in Outlook, and administrators by Add-MailboxPermission.

Impersonation is something else (world.py): there the account *is* the owner. Neighbours: worldfile.py reads permissions,
exchange/reach.py obeys them; what a mailbox gives everybody stands in the mailbox itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from kalends_sandbox.mailbox import Rights

# The levels of Outlook's dialog, weakest first; FullAccess is a permission on the whole mailbox.
Level = Literal[
    "None", "AvailabilityOnly", "LimitedDetails", "Contributor", "Reviewer", "Editor", "Owner", "FullAccess"
]
Deed = Literal["read", "create", "edit"]  # what already stands is edited, deleted or moved by "edit"

DEEDS: Final[Mapping[Level, frozenset[Deed]]] = MappingProxyType(
    {
        "None": frozenset(),
        "AvailabilityOnly": frozenset(),  # free and busy, by the availability service only
        "LimitedDetails": frozenset(),  # and subject and place, likewise
        "Contributor": frozenset({"create"}),
        "Reviewer": frozenset({"read"}),
        "Editor": frozenset({"read", "create", "edit"}),
        "Owner": frozenset({"read", "create", "edit"}),
        "FullAccess": frozenset({"read", "create", "edit"}),
    }
)
# What the availability service tells of the calendar. Contributors add to what they cannot see.
SIGHTS: Final[Mapping[Level, Rights]] = MappingProxyType(
    {
        "None": "None",
        "AvailabilityOnly": "AvailabilityOnly",
        "LimitedDetails": "LimitedDetails",
        "Contributor": "None",
        "Reviewer": "Reviewer",
        "Editor": "Reviewer",
        "Owner": "Reviewer",
        "FullAccess": "Reviewer",
    }
)


@dataclass(frozen=True, slots=True)
class Permission:
    """`user` is an account's name or a mailbox's address; `mailboxes` are written as in `impersonates`.

    `hides_private`: private items are listed but cannot be fetched, as some servers have it for delegates without the
    right to see them. By itself EWS hides nothing from whoever may read.
    """

    user: str
    mailboxes: tuple[str, ...]
    level: Level
    hides_private: bool = False

    @property
    def deeds(self) -> frozenset[Deed]:
        return DEEDS[self.level]
