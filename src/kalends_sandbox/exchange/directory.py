"""GetRoomLists, GetRooms and ResolveNames: the address book, which any signed-in account may read."""

from collections.abc import Iterator

from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Refusal,
    answer,
    failure,
    is_true,
    leaf,
    m,
    need,
    need_attribute,
    refusal_text,
    success,
    t,
    text_of,
    unreadable,
)
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.world import RoomList, named

_MOST_CANDIDATES = 100
_NO_RESULTS = ("ErrorNameResolutionNoResults", "No results were found.")


def _address(name: str, address: str, kind: str) -> str:
    return (
        f"{leaf('Name', name)}{leaf('EmailAddress', address)}"
        f"<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>{kind}</t:MailboxType>"
    )


def get_room_lists(site: Site, call: Call) -> str:
    inside = "".join(
        f"<t:Address>{_address(one.name, one.address, 'PublicDL')}</t:Address>" for one in site.world.room_lists
    )
    return _flat(call.operation, f"<m:RoomLists>{inside}</m:RoomLists>")


def get_rooms(site: Site, call: Call) -> str:
    address = text_of(need(need(call.element, m("RoomList")), t("EmailAddress")))
    wanted = site.world.room_list(address)
    if wanted is None:
        refusal = Refusal(*_NO_RESULTS)
        return f'<m:GetRoomsResponse ResponseClass="Error">{refusal_text(refusal)}</m:GetRoomsResponse>'
    rooms = (site.world.mailbox(room) for room in wanted.rooms)
    inside = "".join(
        f"<t:Room><t:Id>{_address(room.name, room.primary, 'Mailbox')}</t:Id></t:Room>" for room in rooms if room
    )
    return _flat(call.operation, f"<m:Rooms>{inside}</m:Rooms>")


def _flat(operation: str, payload: str) -> str:
    """These two answer without ResponseMessages."""
    return (
        f'<m:{operation}Response ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"{payload}</m:{operation}Response>"
    )


def resolve_names(site: Site, call: Call) -> str:
    full = is_true(need_attribute(call.element, "ReturnFullContactData"))
    entry = text_of(need(call.element, m("UnresolvedEntry")))
    if not entry:
        raise unreadable("UnresolvedEntry is empty")
    found = list(_resolved(site, entry, full))
    if not found:
        return answer(call.operation, [failure(call.operation, Refusal(*_NO_RESULTS))])
    shown = "".join(found[:_MOST_CANDIDATES])
    is_last = str(len(found) <= _MOST_CANDIDATES).lower()
    payload = (
        f'<m:ResolutionSet TotalItemsInView="{min(len(found), _MOST_CANDIDATES)}" '
        f'IncludesLastItemInRange="{is_last}">{shown}</m:ResolutionSet>'
    )
    if len(found) == 1:
        return answer(call.operation, [success(call.operation, payload)])
    several = Refusal("ErrorNameResolutionMultipleResults", "Multiple results were found.")
    return answer(call.operation, [failure(call.operation, several, payload, response_class="Warning")])


def _resolved(site: Site, entry: str, full: bool) -> Iterator[str]:
    for mailbox in named(site.world, entry):
        contact = _contact(mailbox) if full else ""
        yield _resolution(_address(mailbox.name, mailbox.primary, "Mailbox"), contact)
    wanted = entry.lower().removeprefix("smtp:")
    for one in site.world.room_lists:
        if _means(wanted, one):
            yield _resolution(_address(one.name, one.address, "PublicDL"))


def _resolution(address: str, contact: str = "") -> str:
    return f"<t:Resolution><t:Mailbox>{address}</t:Mailbox>{contact}</t:Resolution>"


def _means(wanted: str, one: RoomList) -> bool:
    return one.name.lower().startswith(wanted) or one.address.lower().startswith(wanted)


def _contact(mailbox: Mailbox) -> str:
    """What the directory knows of a mailbox, in the schema's order; `EmailAddress1` is the primary one."""
    entries = "".join(
        f'<t:Entry Key="EmailAddress{number}">{address}</t:Entry>'
        for number, address in enumerate(
            (f"{'SMTP' if at == 0 else 'smtp'}:{address}" for at, address in enumerate(mailbox.addresses[:3])), 1
        )
    )
    given, _, surname = mailbox.name.rpartition(" ") if mailbox.kind == "user" else (mailbox.name, "", "")
    office = f"{mailbox.place.building}, {mailbox.place.floor}" if mailbox.place is not None else ""
    optional = (("Department", mailbox.department), ("JobTitle", mailbox.title), ("OfficeLocation", office))
    rows = {name: value for name, value in optional if value}
    return (
        f"<t:Contact>{leaf('DisplayName', mailbox.name)}{leaf('GivenName', given)}"
        f"<t:EmailAddresses>{entries}</t:EmailAddresses><t:ContactSource>ActiveDirectory</t:ContactSource>"
        f"{''.join(leaf(name, value) for name, value in rows.items())}"
        f"{leaf('Surname', surname) if surname else ''}</t:Contact>"
    )
