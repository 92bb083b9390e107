"""Raw SOAP for tests: requests as text, answers as trees, and Microsoft's schema as the judge of both."""

import os
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
M = "http://schemas.microsoft.com/exchange/services/2006/messages"
T = "http://schemas.microsoft.com/exchange/services/2006/types"
NS = {"s": SOAP, "m": M, "t": T, "e": "http://schemas.microsoft.com/exchange/services/2006/errors"}

SCHEMA = Path(__file__).resolve().parents[3] / "../shared/schemas/ews/messages.xsd"


def envelope(
    operation: str, impersonate: str | None = None, kind: str = "PrimarySmtpAddress", header: str = ""
) -> bytes:
    """`operation` is the XML of the request, with the prefixes m and t."""
    if impersonate is not None:
        who = f"<t:ConnectingSID><t:{kind}>{impersonate}</t:{kind}></t:ConnectingSID>"
        header += f"<t:ExchangeImpersonation>{who}</t:ExchangeImpersonation>"
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{M}" xmlns:t="{T}"><s:Header>'
        f'<t:RequestServerVersion Version="Exchange2016"/>{header}</s:Header><s:Body>{operation}</s:Body></s:Envelope>'
    ).encode()


def texts(tree: etree._Element, path: str) -> list[str]:
    return [str(found.text or "") for found in tree.iterfind(path, NS)]


def codes(tree: etree._Element) -> list[str]:
    return [str(found.text) for found in tree.iter(f"{{{M}}}ResponseCode", f"{{{NS['e']}}}ResponseCode")]


CALENDAR = '<t:DistinguishedFolderId Id="calendar"/>'


def get_item(*ids: str, fields: str = "", base: str = "IdOnly") -> str:
    wanted = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
    return f"<m:GetItem>{shape(fields, base)}<m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"


def shape(fields: str = "", base: str = "IdOnly", rest: str = "") -> str:
    uris = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields.split()) + rest
    more = f"<t:AdditionalProperties>{uris}</t:AdditionalProperties>" if uris else ""
    return f"<m:ItemShape><t:BaseShape>{base}</t:BaseShape>{more}</m:ItemShape>"


def calendar_view(start: str, end: str, fields: str = "", limit: int | None = None, base: str = "IdOnly") -> str:
    most = f'MaxEntriesReturned="{limit}" ' if limit is not None else ""
    return (
        f'<m:FindItem Traversal="Shallow">{shape(fields, base)}<m:CalendarView {most}StartDate="{start}" EndDate="{end}"/>'
        f"<m:ParentFolderIds>{CALENDAR}</m:ParentFolderIds></m:FindItem>"
    )


def sync(state: str = "", most: int = 512, fields: str = "", folder: str = CALENDAR) -> str:
    known = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    return (
        f"<m:SyncFolderItems>{shape(fields)}<m:SyncFolderId>{folder}</m:SyncFolderId>{known}"
        f"<m:MaxChangesReturned>{most}</m:MaxChangesReturned></m:SyncFolderItems>"
    )


EVENTS = ("CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent", "FreeBusyChangedEvent")


def subscribe(folder: str = CALENDAR, events: tuple[str, ...] = EVENTS) -> str:
    kinds = "".join(f"<t:EventType>{event}</t:EventType>" for event in events)
    return (
        f"<m:Subscribe><m:StreamingSubscriptionRequest><t:FolderIds>{folder}</t:FolderIds>"
        f"<t:EventTypes>{kinds}</t:EventTypes></m:StreamingSubscriptionRequest></m:Subscribe>"
    )


def subscribe_otherwise(
    kind: str, rest: str, folder: str = CALENDAR, events: tuple[str, ...] = EVENTS, watermark: str = ""
) -> str:
    """A Pull or Push subscription; `rest` is what only this kind has."""
    kinds = "".join(f"<t:EventType>{event}</t:EventType>" for event in events)
    folders, every = (f"<t:FolderIds>{folder}</t:FolderIds>", "") if folder else ("", ' SubscribeToAllFolders="true"')
    since = f"<t:Watermark>{watermark}</t:Watermark>" if watermark else ""
    return (
        f"<m:Subscribe><m:{kind}SubscriptionRequest{every}>{folders}<t:EventTypes>{kinds}</t:EventTypes>{since}{rest}"
        f"</m:{kind}SubscriptionRequest></m:Subscribe>"
    )


def pull(minutes: int = 10, **others: object) -> str:
    return subscribe_otherwise("Pull", f"<t:Timeout>{minutes}</t:Timeout>", **others)  # type: ignore[arg-type]


def push(url: str, minutes: int = 1, **others: object) -> str:
    rest = f"<t:StatusFrequency>{minutes}</t:StatusFrequency><t:URL>{url}</t:URL>"
    return subscribe_otherwise("Push", rest, **others)  # type: ignore[arg-type]


def get_events(subscription: str, watermark: str) -> str:
    return (
        f"<m:GetEvents><m:SubscriptionId>{subscription}</m:SubscriptionId><m:Watermark>{watermark}</m:Watermark>"
        "</m:GetEvents>"
    )


def stream(*ids: str, minutes: int = 1) -> str:
    wanted = "".join(f"<t:SubscriptionId>{one}</t:SubscriptionId>" for one in ids)
    return (
        f"<m:GetStreamingEvents><m:SubscriptionIds>{wanted}</m:SubscriptionIds>"
        f"<m:ConnectionTimeout>{minutes}</m:ConnectionTimeout></m:GetStreamingEvents>"
    )


def unsubscribe(subscription: str) -> str:
    return f"<m:Unsubscribe><m:SubscriptionId>{subscription}</m:SubscriptionId></m:Unsubscribe>"


def create(*items: str, send: str | None = "SendToNone", disposition: str | None = None, folder: str = "") -> str:
    attributes = _attributes(MessageDisposition=disposition, SendMeetingInvitations=send)
    saved = f"<m:SavedItemFolderId>{folder}</m:SavedItemFolderId>" if folder else ""
    return f"<m:CreateItem{attributes}>{saved}<m:Items>{''.join(items)}</m:Items></m:CreateItem>"


def appointment(rest: str = "", start: str = "2026-11-23T09:00:00Z", end: str = "2026-11-23T10:00:00Z") -> str:
    """`rest` is what the schema has behind Start and End."""
    return f"<t:CalendarItem><t:Subject>Plan</t:Subject><t:Start>{start}</t:Start><t:End>{end}</t:End>{rest}</t:CalendarItem>"


def change(reference: str, *updates: str) -> str:
    return f"<t:ItemChange>{reference}<t:Updates>{''.join(updates)}</t:Updates></t:ItemChange>"


def set_field(uri: str, value: str, element: str = "CalendarItem") -> str:
    return f'<t:SetItemField><t:FieldURI FieldURI="{uri}"/><t:{element}>{value}</t:{element}></t:SetItemField>'


def append_to(uri: str, value: str) -> str:
    return set_field(uri, value).replace("SetItemField", "AppendToItemField")


def delete_field(uri: str) -> str:
    return f'<t:DeleteItemField><t:FieldURI FieldURI="{uri}"/></t:DeleteItemField>'


def update(
    *changes: str, resolution: str = "AutoResolve", send: str | None = "SendToNone", disposition: str | None = None
) -> str:
    attributes = _attributes(
        ConflictResolution=resolution, MessageDisposition=disposition, SendMeetingInvitationsOrCancellations=send
    )
    return f"<m:UpdateItem{attributes}><m:ItemChanges>{''.join(changes)}</m:ItemChanges></m:UpdateItem>"


def delete(*references: str, kind: str = "HardDelete", send: str | None = "SendToNone") -> str:
    attributes = _attributes(DeleteType=kind, SendMeetingCancellations=send)
    return f"<m:DeleteItem{attributes}><m:ItemIds>{''.join(references)}</m:ItemIds></m:DeleteItem>"


def file(operation: str, folder: str, *references: str, rest: str = "") -> str:
    """MoveItem or CopyItem to a distinguished folder."""
    return (
        f'<m:{operation}><m:ToFolderId><t:DistinguishedFolderId Id="{folder}"/></m:ToFolderId>'
        f"<m:ItemIds>{''.join(references)}</m:ItemIds>{rest}</m:{operation}>"
    )


def item_ref(item_id: str, key: str | None = None) -> str:
    return f'<t:ItemId Id="{item_id}"{_attributes(ChangeKey=key)}/>'


def nth_ref(master_id: str, index: int) -> str:
    return f'<t:OccurrenceItemId RecurringMasterId="{master_id}" InstanceIndex="{index}"/>'


def reply(kind: str, item_id: str, rest: str = "") -> str:
    return f'<t:{kind}>{rest}<t:ReferenceItemId Id="{item_id}"/></t:{kind}>'


def _attributes(**values: str | None) -> str:
    return "".join(f' {name}="{value}"' for name, value in values.items() if value is not None)


# --- the schema as judge


@cache
def schema() -> etree.XMLSchema | None:
    if not SCHEMA.exists():
        if os.environ.get("CI"):
            pytest.fail(f"Microsoft's EWS schema is not at {SCHEMA}, and CI must not go without it.")
        return None
    # The files begin with a byte order mark and the second one is found beside the first.
    return etree.XMLSchema(etree.parse(SCHEMA))


def violations(document: bytes) -> list[str]:
    """What the schema says against the Body's one child; empty where no schema is at hand."""
    judge = schema()
    body = etree.fromstring(document).find(f"{{{SOAP}}}Body")
    assert body is not None
    assert len(body) == 1
    if body[0].tag == f"{{{SOAP}}}Fault" or judge is None:
        return []
    judged = etree.fromstring(etree.tostring(body[0]))
    _forgive(judged)
    return [] if judge.validate(judged) else [str(error) for error in judge.error_log]


def _forgive(judged: etree._Element) -> None:
    """Two places where real servers and the schema differ, and the wire is right."""
    for element in judged.iterfind(f".//{{{M}}}Notifications/{{{M}}}Notification"):
        element.tag = f"{{{T}}}Notification"
    for errors in judged.iter(f"{{{M}}}ErrorSubscriptionIds"):
        for element in errors:
            element.tag = f"{{{T}}}SubscriptionId"
