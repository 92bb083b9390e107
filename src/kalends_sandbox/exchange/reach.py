"""How far a caller reaches: into its own mailbox (or the one it impersonates) for everything, into others as a delegate.

A permission given to the caller counts instead of what everybody may see, also where it is less. Neighbours: rights.py has
the levels; folders.py and items.py find nothing but through here, availability.py asks how much it may tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kalends_sandbox.exchange.soap import Refusal
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox, Rights
from kalends_sandbox.rights import SIGHTS, Deed, Permission
from kalends_sandbox.world import ServiceAccount, World

_DEEDS: dict[str, Deed] = {
    "CreateItem": "create",
    "CopyItem": "create",
    "UpdateItem": "edit",
    "DeleteItem": "edit",
    "MoveItem": "edit",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Of one call: its operation decides what it must be allowed to do."""

    world: World
    account: ServiceAccount
    acting: Mailbox | None
    operation: str

    def mailboxes(self) -> Iterator[Mailbox]:
        """Everywhere an id may lead, the own mailbox first; refused at the end when that was nowhere."""
        leads_nowhere = self.acting is None
        if self.acting is not None:
            yield self.acting
        for one in self.world.mailboxes:
            if one is not self.acting and self._permission(one) is not None:
                leads_nowhere = False
                yield one
        if leads_nowhere:
            raise no_mailbox()

    def places(self) -> Iterator[tuple[Mailbox, Folder]]:
        return ((mailbox, folder) for mailbox in self.mailboxes() for folder in mailbox.folders.values())

    def check(self, mailbox: Mailbox, folder: Folder) -> None:
        """Refused when the call may not do there what it wants to."""
        if mailbox is self.acting:
            return
        if self.operation == "Subscribe":
            raise Refusal(
                "ErrorSubscriptionDelegateAccessNotSupported",
                "Subscriptions are not supported for delegate user access.",
            )
        permission = self._permission(mailbox)
        is_open = permission is not None and (permission.level == "FullAccess" or folder.kind == "calendar")
        if permission is None or not is_open or _DEEDS.get(self.operation, "read") not in permission.deeds:
            raise denied()

    def shows(self, mailbox: Mailbox, item: Item) -> bool:
        """Whether the item may be fetched, when the folder may be read."""
        permission = None if mailbox is self.acting else self._permission(mailbox)
        return permission is None or not permission.hides_private or item.sensitivity != "Private"

    def rights(self, mailbox: Mailbox, folder: Folder) -> dict[str, bool]:
        """The EffectiveRights of a folder, in the schema's order."""
        own = mailbox is self.acting
        permission = None if own else self._permission(mailbox)
        deeds = permission.deeds if permission is not None else frozenset()
        owns = own or (permission is not None and permission.level in ("Owner", "FullAccess"))
        may_create, may_edit, may_read = (own or deed in deeds for deed in ("create", "edit", "read"))
        sees_private = own or (permission is not None and not permission.hides_private)
        return {
            "CreateAssociated": owns,
            "CreateContents": may_create,
            "CreateHierarchy": owns,
            "Delete": may_edit,
            "Modify": may_edit,
            "Read": may_read,
            "ViewPrivateItems": may_read and sees_private,
        }

    def sight(self, mailbox: Mailbox) -> Rights:
        """How much of the calendar the availability service may tell."""
        if mailbox is self.acting:
            return "Reviewer"
        given = self.world.permission(self.account, self.acting, mailbox)
        return mailbox.default_rights if given is None else SIGHTS[given.level]

    def _permission(self, mailbox: Mailbox) -> Permission | None:
        """The caller's own, else everybody's where that opens more than the availability service."""
        given = self.world.permission(self.account, self.acting, mailbox) if self.world.permissions else None
        if given is None and mailbox.default_rights == "Reviewer":
            return Permission("Default", (mailbox.primary,), "Reviewer")
        return given


def denied() -> Refusal:
    return Refusal("ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def no_mailbox() -> Refusal:
    return Refusal(
        "ErrorMissingEmailAddress",
        "When making a request as an account that does not have a mailbox, you must specify the mailbox primary SMTP "
        "address for any distinguished folder Ids.",
    )
