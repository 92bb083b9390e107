"""Delegates: what each level opens in another's mailbox, what stays closed, and what becomes of private items."""

from typing import get_args

import pytest
from exchangelib import BASIC, DELEGATE
from exchangelib.errors import ErrorAccessDenied, ErrorSubscriptionDelegateAccessNotSupported
from exchangelib.folders import Calendar
from exchangelib.properties import DistinguishedFolderId, Mailbox

from kalends_sandbox.rights import DEEDS, Level, Permission
from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged
from sandbox.exchange.test_exchange_judge_sign_in import Tagged, account, judged, uids

ROOM, BOB = "room1@north.example", "bob@north.example"
RECEIVER = "http://127.0.0.1:9/hook"  # nobody pushes in these tests
READERS = ("Reviewer", "Editor", "Owner", "FullAccess")


def of(address: str, name: str = "calendar") -> str:
    mailbox = f"<t:Mailbox><t:EmailAddress>{address}</t:EmailAddress></t:Mailbox>"
    return f'<t:DistinguishedFolderId Id="{name}">{mailbox}</t:DistinguishedFolderId>'


def get_folder(folder: str, fields: str = "") -> str:
    uris = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields.split())
    more = f"<t:AdditionalProperties>{uris}</t:AdditionalProperties>" if uris else ""
    return (
        f"<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>{more}</m:FolderShape>"
        f"<m:FolderIds>{folder}</m:FolderIds></m:GetFolder>"
    )


async def as_ann(stage: Stage, operation: str) -> list[str]:
    """The codes of Ann's own call: she has a mailbox, and impersonates nobody."""
    headers = stage.account_headers("ann", "ann's own")
    return (await stage.ask(operation, headers=headers)).codes


@pytest.mark.asyncio
@pytest.mark.parametrize("level", get_args(Level))
async def test_a_level_opens_the_calendar_for_reading_or_does_not(level: Level) -> None:
    async with staged(340) as stage:
        stage.world.permissions.append(Permission("ann", (ROOM,), level))
        _, copy = stage.book()
        expected = "NoError" if level in READERS else "ErrorAccessDenied"

        assert await as_ann(stage, get_folder(of(ROOM))) == [expected]
        assert await as_ann(stage, wire.sync(folder=of(ROOM))) == [expected]
        assert await as_ann(stage, wire.get_item(copy.item_id)) == [expected]
        assert await as_ann(stage, get_folder(of(BOB))) == ["ErrorAccessDenied"]
        elsewhere = "NoError" if level == "FullAccess" else "ErrorAccessDenied"
        assert await as_ann(stage, get_folder(of(ROOM, "inbox"))) == [elsewhere]


@pytest.mark.asyncio
async def test_ids_lead_a_delegate_where_names_do() -> None:
    async with staged(341) as stage:
        assert stage.room.calendar is not None
        folder = f'<t:FolderId Id="{stage.room.calendar.id}"/>'
        _, copy = stage.book()
        before = [await as_ann(stage, get_folder(folder)), await as_ann(stage, wire.get_item(copy.item_id))]
        stage.world.permissions.append(Permission("NORTH\\ann", ("list:haus-a@north.example",), "Reviewer"))
        after = [await as_ann(stage, get_folder(folder)), await as_ann(stage, wire.get_item(copy.item_id))]

        assert before == [["ErrorFolderNotFound"], ["ErrorItemNotFound"]]
        assert after == [["NoError"], ["NoError"]]


@pytest.mark.asyncio
async def test_a_permission_of_a_mailbox_goes_with_whoever_acts_in_its_name() -> None:
    async with staged(342) as stage:
        stage.world.permissions.append(Permission("a.okubo@north.example", (ROOM,), "Reviewer"))

        own = await as_ann(stage, get_folder(of(ROOM)))
        impersonated = (await stage.ask(get_folder(of(ROOM)), "ann@north.example")).codes
        somebody = (await stage.ask(get_folder(of(ROOM)), BOB)).codes

        assert [own, impersonated, somebody] == [["NoError"], ["NoError"], ["ErrorAccessDenied"]]


@pytest.mark.asyncio
async def test_the_strongest_of_several_permissions_counts() -> None:
    async with staged(343) as stage:
        for level in ("AvailabilityOnly", "Reviewer", "None"):
            stage.world.permissions.append(Permission("ann", ("*",), level))  # type: ignore[arg-type]

        assert await as_ann(stage, get_folder(of(ROOM))) == ["NoError"]
        assert list(DEEDS) == list(get_args(Level))


@pytest.mark.asyncio
async def test_no_level_lets_a_delegate_subscribe() -> None:
    async with staged(344) as stage:
        stage.world.permissions.append(Permission("ann", (ROOM,), "FullAccess"))

        for others in (of(ROOM), of(BOB)):
            for wanted in (wire.subscribe(others), wire.pull(folder=others), wire.push(RECEIVER, folder=others)):
                assert await as_ann(stage, wanted) == ["ErrorSubscriptionDelegateAccessNotSupported"]
        for wanted in (wire.subscribe(), wire.pull(), wire.push(RECEIVER)):
            assert await as_ann(stage, wanted) == ["NoError"]


@pytest.mark.asyncio
async def test_what_everybody_may_read_is_read_without_a_permission_and_never_written_or_subscribed_to() -> None:
    async with staged(348) as stage:
        _, copy = stage.book()
        asked = (get_folder(of(ROOM)), wire.get_item(copy.item_id), wire.sync(folder=of(ROOM)))
        before = [await as_ann(stage, one) for one in asked]
        stage.room.default_rights = "Reviewer"

        after = [await as_ann(stage, one) for one in asked]
        inbox = await as_ann(stage, get_folder(of(ROOM, "inbox")))
        deleted = await as_ann(stage, wire.delete(wire.item_ref(copy.item_id)))
        subscribed = await as_ann(stage, wire.subscribe(of(ROOM)))

        assert before == [["ErrorAccessDenied"], ["ErrorItemNotFound"], ["ErrorAccessDenied"]]
        assert after == [["NoError"]] * 3
        assert [inbox, deleted] == [["ErrorAccessDenied"]] * 2
        assert subscribed == ["ErrorSubscriptionDelegateAccessNotSupported"]
        assert stage.copy(stage.room, copy.uid).item_id == copy.item_id


@pytest.mark.asyncio
async def test_a_permission_of_ones_own_counts_instead_of_what_everybody_may_see() -> None:
    async with staged(349) as stage:
        stage.room.default_rights = stage.bob.default_rights = "Reviewer"
        stage.world.permissions.append(Permission("ann", (ROOM,), "AvailabilityOnly"))

        assert await as_ann(stage, get_folder(of(ROOM))) == ["ErrorAccessDenied"]
        assert await as_ann(stage, get_folder(of(BOB))) == ["NoError"]


@pytest.mark.asyncio
@pytest.mark.parametrize("hides", [False, True])
async def test_private_items_are_shown_to_readers_unless_the_permission_hides_them(hides: bool) -> None:
    async with staged(345) as stage:
        stage.world.permissions.append(Permission("narrow", (BOB,), "Reviewer", hides))
        mine, _ = stage.book(sensitivity="Private", subject="Between us")
        bobs = stage.copy(stage.bob, mine.uid)
        narrow = stage.account_headers("narrow", "narrow")

        listed = await stage.ask(wire.sync(folder=of(BOB), fields="item:Subject item:Sensitivity"), headers=narrow)
        fetched = await stage.ask(wire.get_item(bobs.item_id, fields="item:Subject"), headers=narrow)
        impersonated = await stage.ask(wire.get_item(bobs.item_id, fields="item:Subject"), BOB)

        assert wire.texts(listed.tree, ".//t:Sensitivity") == ["Private"]
        assert wire.texts(listed.tree, ".//t:Subject") == ["Between us"]
        assert fetched.codes == (["ErrorItemNotFound"] if hides else ["NoError"])
        assert wire.texts(impersonated.tree, ".//t:Subject") == ["Between us"]


@pytest.mark.asyncio
async def test_the_folder_tells_a_delegate_its_rights() -> None:
    async with staged(346) as stage:
        found = {}
        for level in ("Reviewer", "Editor", "FullAccess"):
            stage.world.permissions[:] = [Permission("ann", (ROOM,), level, hides_private=True)]  # type: ignore[arg-type]
            headers = stage.account_headers("ann", "ann's own")
            answer = await stage.ask(get_folder(of(ROOM), "folder:EffectiveRights"), headers=headers)
            rights = answer.tree.find(".//t:EffectiveRights", wire.NS)
            assert rights is not None
            found[level] = " ".join(str(one.text) for one in rights)

        assert found == {
            "Reviewer": "false false false false false true false",
            "Editor": "false true false true true true false",
            "FullAccess": "true true true true true true false",
        }


@pytest.mark.asyncio
async def test_exchangelib_reads_as_a_delegate_what_it_was_given_and_cannot_subscribe() -> None:
    async with staged(347) as stage:
        mine, _ = stage.book()
        stage.world.permissions.append(Permission("ann", (ROOM,), "FullAccess"))
        stage.world.permissions.append(Permission("ann", (BOB,), "Reviewer"))
        own = Tagged("ann", "ann's own", "347")
        room = account(stage, ROOM, own, BASIC, DELEGATE)
        ann = account(stage, "ann@north.example", own, BASIC, DELEGATE)
        bob = account(stage, BOB, own, BASIC, DELEGATE)

        def calendar_of_bob() -> Calendar:
            wanted = DistinguishedFolderId(id="calendar", mailbox=Mailbox(email_address=BOB))
            return Calendar(root=ann.root, _distinguished_id=wanted)

        assert await judged(lambda: uids(stage, room)) == [mine.uid]
        with pytest.raises(ErrorSubscriptionDelegateAccessNotSupported):
            await judged(lambda: room.calendar.subscribe_to_streaming())
        calendar = await judged(calendar_of_bob)
        found = await judged(lambda: list(calendar.view(stage.at(-1), stage.at(5)).only("uid")))
        assert [one.uid for one in found] == [mine.uid]
        with pytest.raises(ErrorAccessDenied):
            await judged(lambda: bob.inbox.total_count)
