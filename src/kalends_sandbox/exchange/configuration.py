"""GetUserConfiguration: the calendar's own settings, as far as clients may see them without PowerShell.

MS-OXOCFG 2.2.5.1.1 (calendar options dictionary). Neighbours: place.py has what a room does with requests.
"""

import base64
import hashlib
from typing import Final

from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import item_id
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Refusal,
    answer,
    attribute,
    failure,
    leaf,
    m,
    need,
    need_attribute,
    some,
    success,
    text_of,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.mailbox import Mailbox

_PARTS: Final = ("Id", "Dictionary", "XmlData", "BinaryData", "All")
_AUTOMATE: Final = {"None": 0, "AutoUpdate": 1, "AutoAccept": 2}


def get_user_configuration(site: Site, call: Call) -> str:
    name = need(call.element, m("UserConfigurationName"))
    wanted = text_of(need(call.element, m("UserConfigurationProperties"))).split()
    if not wanted or any(part not in _PARTS for part in wanted):
        raise unreadable("UserConfigurationProperties names none of Id, Dictionary, XmlData, BinaryData and All")
    try:
        mailbox, folder = target(site, call, some(name)[0])
        if need_attribute(name, "Name") != "Calendar" or folder.kind != "calendar":
            raise Refusal("ErrorItemNotFound", "The specified object was not found in the store.")
    except Refusal as refusal:
        return answer(call.operation, [failure(call.operation, refusal)])
    written = (
        f'<t:UserConfigurationName Name="Calendar"><t:FolderId Id={attribute(folder.id)}/></t:UserConfigurationName>'
    )
    if {"Id", "All"} & set(wanted):
        written += item_id(_id(folder), folder.change_key)
    if {"Dictionary", "All"} & set(wanted):
        written += f"<t:Dictionary>{_dictionary(mailbox)}</t:Dictionary>"
    return answer(call.operation, [success(call.operation, f"<m:UserConfiguration>{written}</m:UserConfiguration>")])


def _dictionary(mailbox: Mailbox) -> str:
    if mailbox.kind == "user":
        automate = "AutoUpdate"
    else:
        automate = mailbox.place.rules.automate_processing if mailbox.place is not None else "AutoAccept"
    entries = (
        ("OLPrefsVersion", "Integer32", "1"),
        ("piAutoProcess", "Boolean", str(automate != "None").lower()),
        ("piRemindDefault", "Integer32", "15"),
        ("AutomateProcessing", "Integer32", str(_AUTOMATE[automate])),
    )
    return "".join(
        f"<t:DictionaryEntry><t:DictionaryKey>{leaf('Type', 'String')}{leaf('Value', key)}</t:DictionaryKey>"
        f"<t:DictionaryValue>{leaf('Type', kind)}{leaf('Value', value)}</t:DictionaryValue></t:DictionaryEntry>"
        for key, kind, value in entries
    )


def _id(folder: Folder) -> str:
    """The settings lie in the folder as a hidden item of their own."""
    return "AAMk" + base64.b64encode(hashlib.sha256(f"configuration {folder.id}".encode()).digest()).decode()
