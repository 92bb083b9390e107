"""GetFolder and FindFolder, and how any request names a folder. Neighbours: mailbox.py holds the folders."""

from collections.abc import Mapping

from kalends_sandbox.exchange import filters, mapi, paging, searching
from kalends_sandbox.exchange.shapes import FolderShape, folder_shape
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    attribute,
    failure,
    flag,
    leaf,
    local,
    m,
    need,
    need_attribute,
    some,
    success,
    t,
    text_of,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.mailbox import Mailbox


def target(site: Site, call: Call, element: Element) -> tuple[Mailbox, Folder]:
    """The folder that a FolderId or DistinguishedFolderId means; refused when it is not there or not the caller's."""
    kind = local(element)
    if kind == "DistinguishedFolderId":
        return _distinguished(site, call, element)
    if kind != "FolderId":
        raise unreadable(f"{kind} is no folder id")
    folder_id = need_attribute(element, "Id")
    if not folder_id.startswith("AQMk"):
        raise Refusal("ErrorInvalidIdMalformed", "Id is malformed.")
    for mailbox in call.reach.mailboxes():
        folder = mailbox.folder(folder_id)
        if folder is not None:
            call.reach.check(mailbox, folder)
            return mailbox, folder
    raise Refusal("ErrorFolderNotFound", "The specified folder could not be found in the store.")


def _distinguished(site: Site, call: Call, element: Element) -> tuple[Mailbox, Folder]:
    name = need_attribute(element, "Id")
    address = text_of(element.find(f"{t('Mailbox')}/{t('EmailAddress')}"))
    mailbox = _addressed(site, address) if address else call.acting_mailbox()
    folder = next((folder for kind, folder in mailbox.folders.items() if kind == name), None)
    if folder is None:
        raise Refusal("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    call.reach.check(mailbox, folder)
    return mailbox, folder


def _addressed(site: Site, address: str) -> Mailbox:
    mailbox = site.world.mailbox(address)
    if mailbox is None:
        raise Refusal("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
    return mailbox


def folder_id(folder: Folder, name: str = "FolderId") -> str:
    return f"<t:{name} Id={attribute(folder.id)} ChangeKey={attribute(folder.change_key)}/>"


def folder_element(call: Call, mailbox: Mailbox, folder: Folder, shape: FolderShape) -> str:
    """The folder with the properties asked for, in the schema's order."""
    kind = "CalendarFolder" if folder.kind == "calendar" else "Folder"
    rows = (
        ("folder:FolderId", folder_id(folder)),
        ("folder:ParentFolderId", folder_id(folder.parent or folder, "ParentFolderId")),
        ("folder:FolderClass", leaf("FolderClass", folder.folder_class)),
        ("folder:DisplayName", leaf("DisplayName", folder.name)),
        ("folder:TotalCount", leaf("TotalCount", str(folder.count))),
        ("folder:ChildFolderCount", leaf("ChildFolderCount", str(len(_below(mailbox, folder, deep=False))))),
        ("", _extended(folder, shape)),
        ("folder:EffectiveRights", _rights(call.reach.rights(mailbox, folder))),
        ("folder:DistinguishedFolderId", leaf("DistinguishedFolderId", folder.kind)),
        ("folder:UnreadCount", leaf("UnreadCount", str(folder.unread)) if kind == "Folder" else ""),
    )
    return f"<t:{kind}>{''.join(xml for uri, xml in rows if not uri or uri in shape)}</t:{kind}>"


def _extended(folder: Folder, shape: FolderShape) -> str:
    found = ((wanted, mapi.of_folder(folder, wanted)) for wanted in shape.extended)
    return "".join(mapi.xml(wanted, value) for wanted, value in found if value is not None)


def _rights(rights: Mapping[str, bool]) -> str:
    return f"<t:EffectiveRights>{''.join(flag(name, value) for name, value in rights.items())}</t:EffectiveRights>"


def _below(mailbox: Mailbox, folder: Folder, deep: bool) -> list[Folder]:
    found = [child for child in mailbox.folders.values() if child.parent is folder]
    if deep:
        found += [grandchild for child in tuple(found) for grandchild in _below(mailbox, child, deep)]
    return found


def get_folder(site: Site, call: Call) -> str:
    shape = folder_shape(need(call.element, m("FolderShape")))
    messages = []
    for wanted in some(need(call.element, m("FolderIds"))):
        try:
            found = folder_element(call, *target(site, call, wanted), shape)
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal, "<m:Folders/>"))
        else:
            messages.append(success(call.operation, f"<m:Folders>{found}</m:Folders>"))
    return answer(call.operation, messages)


def find_folder(site: Site, call: Call) -> str:
    shape = folder_shape(need(call.element, m("FolderShape")))
    deep = need_attribute(call.element, "Traversal") == "Deep"
    messages = []
    for parent in some(need(call.element, m("ParentFolderIds"))):
        try:
            mailbox, folder = target(site, call, parent)
            found = _page(site, call, mailbox, _below(mailbox, folder, deep), shape)
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal))
        else:
            messages.append(success(call.operation, found))
    return answer(call.operation, messages)


def _page(site: Site, call: Call, mailbox: Mailbox, below: list[Folder], shape: FolderShape) -> str:
    ground = searching.folders()
    restriction = call.element.find(m("Restriction"))
    keeps = filters.compiled(restriction, ground) if restriction is not None else None
    found = [folder for folder in below if keeps is None or keeps(folder)]
    most = site.settings.rows_per_find if keeps is None else site.settings.rows_per_search
    part = paging.part(call.element, found, most, lambda condition: filters.compiled(condition, ground))
    inside = "".join(folder_element(call, mailbox, folder, shape) for folder in part.rows)
    return f"<m:RootFolder {part.attributes}><t:Folders>{inside}</t:Folders></m:RootFolder>"
