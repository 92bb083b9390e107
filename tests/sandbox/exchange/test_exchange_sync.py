"""SyncFolderItems by raw SOAP: nothing is missed, states belong to one folder, and a lost state is said in the right words."""

import base64
import random

import pytest
from lxml import etree

from kalends_sandbox.actions import Change
from kalends_sandbox.recurrence import Daily, Recurrence
from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged, words


def state_of(tree: etree._Element) -> str:
    (state,) = wire.texts(tree, ".//m:SyncState")
    return state


def is_last(tree: etree._Element) -> bool:
    return wire.texts(tree, ".//m:IncludesLastItemInRange") == ["true"]


def changes(tree: etree._Element) -> list[tuple[str, str]]:
    """(Create, Update or Delete; item id), in the order given."""
    found = []
    for change in tree.find(".//m:Changes", wire.NS):  # type: ignore[union-attr]
        item_id = next(change.iter(f"{{{wire.T}}}ItemId"))
        found.append((etree.QName(change).localname, str(item_id.get("Id"))))
    return found


async def read(stage: Stage, state: str = "", most: int = 512) -> etree._Element:
    return (await stage.ask(wire.sync(state, most), stage.ann.primary)).tree


async def all_of(stage: Stage, state: str, most: int) -> tuple[list[tuple[str, str]], str]:
    found: list[tuple[str, str]] = []
    for _ in range(100):
        tree = await read(stage, state, most)
        found += changes(tree)
        state = state_of(tree)
        if is_last(tree):
            return found, state
    raise AssertionError("The reading never came to an end.")


@pytest.mark.asyncio
async def test_the_first_reading_gives_everything_newest_first_in_pages() -> None:
    async with staged(60) as stage:
        pairs = [stage.book(day) for day in range(7)]

        found, state = await all_of(stage, "", 3)
        nothing = await read(stage, state)

        assert found == [("Create", mine.item_id) for mine, _ in reversed(pairs)]
        assert changes(nothing) == []
        assert state_of(nothing) == state


@pytest.mark.asyncio
async def test_changes_are_folded_into_one_per_item() -> None:
    async with staged(61) as stage:
        edited, removed, kept = (stage.book(day)[0] for day in range(3))
        _, state = await all_of(stage, "", 512)
        for number in range(3):
            stage.actions.edit(stage.ann.primary, edited.uid, Change(subject=f"take {number}"))
        stage.actions.remove(stage.ann.primary, removed.uid, hard=True)
        new = stage.actions.create(stage.ann.primary, "new", stage.at(4), stage.at(5))
        stage.actions.edit(stage.ann.primary, new.uid, Change(subject="newer"))
        brief = stage.actions.create(stage.ann.primary, "brief", stage.at(4), stage.at(5))
        stage.actions.remove(stage.ann.primary, brief.uid, hard=True)

        found, _ = await all_of(stage, state, 512)

        assert sorted(found) == sorted(
            [("Update", edited.item_id), ("Delete", removed.item_id), ("Create", new.item_id)]
        )
        assert kept.item_id not in {item_id for _, item_id in found}


@pytest.mark.asyncio
async def test_an_item_moved_out_and_back_is_gone_and_new() -> None:
    async with staged(62) as stage:
        mine, _ = stage.book()
        _, state = await all_of(stage, "", 512)
        stage.actions.refile(stage.ann.primary, mine.uid)
        again = stage.copy(stage.ann, mine.uid)

        found, _ = await all_of(stage, state, 512)

        assert sorted(found) == [("Create", again.item_id), ("Delete", mine.item_id)]
        assert again.item_id != mine.item_id


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(6))
async def test_a_reader_who_follows_in_small_pages_while_things_change_ends_with_the_truth(seed: int) -> None:
    """Creates, edits and deletions fall between any two pages, the first reading's too."""
    async with staged(63 + seed) as stage:
        rng = random.Random(seed)
        assert stage.ann.calendar is not None
        calendar = stage.ann.calendar
        known: dict[str, None] = {}
        state, rested = "", False

        def happen() -> None:
            for _ in range(rng.randint(0, 3)):
                held = list(calendar.items.values())
                verb = rng.choice(("create", "create", "edit", "remove"))
                if verb == "create" or not held:
                    stage.actions.create(stage.ann.primary, words(rng), stage.at(rng.randint(0, 50)), stage.at(60))
                elif verb == "edit":
                    stage.actions.edit(stage.ann.primary, rng.choice(held).uid, Change(subject=words(rng)))
                else:
                    stage.actions.remove(stage.ann.primary, rng.choice(held).uid, hard=True)

        for _ in range(8):
            happen()
        for turn in range(200):
            if turn < 40:
                happen()
            tree = await read(stage, state, rng.randint(1, 3))
            state = state_of(tree)
            for kind, item_id in changes(tree):
                if kind == "Update":
                    assert item_id in known, "an update of something never told"
                if kind == "Delete":
                    known.pop(item_id, None)
                else:
                    known[item_id] = None
            rested = turn >= 40 and is_last(tree)
            if rested:
                break

        assert rested
        assert sorted(known) == sorted(calendar.items)


@pytest.mark.asyncio
async def test_items_to_be_ignored_are_left_out() -> None:
    async with staged(70) as stage:
        one, two = (stage.book(day)[0] for day in range(2))
        ignore = f'<m:Ignore><t:ItemId Id="{one.item_id}"/></m:Ignore>'

        answer = await stage.ask(
            wire.sync().replace("<m:MaxChangesReturned>", f"{ignore}<m:MaxChangesReturned>"), stage.ann.primary
        )

        assert changes(answer.tree) == [("Create", two.item_id)]


def spoiled(state: str) -> list[str]:
    raw = bytearray(base64.b64decode(state))
    raw[5] ^= 1
    return ["nonsense", state[:-4], base64.b64encode(raw).decode(), base64.b64encode(b"short").decode()]


@pytest.mark.asyncio
async def test_a_broken_or_foreign_state_is_lost_and_the_answer_still_has_what_clients_look_for() -> None:
    async with staged(71) as stage, staged(72) as elsewhere:
        stage.book()
        state = state_of(await read(stage))
        of_room = state_of(await stage.in_room(wire.sync()))
        of_inbox = state_of(
            (await stage.ask(wire.sync(folder='<t:DistinguishedFolderId Id="inbox"/>'), stage.ann.primary)).tree
        )
        of_other_server = state_of(await read(elsewhere))

        for bad in (*spoiled(state), of_room, of_inbox, of_other_server):
            tree = await read(stage, bad)
            assert wire.codes(tree) == ["ErrorInvalidSyncStateData"]
            assert wire.texts(tree, ".//m:SyncState") == [""]
            assert is_last(tree)
        assert wire.codes(await read(stage, state)) == ["NoError"]


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there_cannot_be_synced() -> None:
    async with staged(73) as stage:
        answer = await stage.ask(wire.sync(), "hollow@north.example")

        assert answer.codes == ["ErrorSyncFolderNotFound"]


@pytest.mark.asyncio
async def test_a_state_can_be_lost_on_demand_but_a_first_reading_cannot() -> None:
    async with staged(74) as stage:
        state = state_of(await read(stage))
        stage.faults.add("invalid_sync_state", mailbox="ann@*", count=1)

        first = await read(stage)
        lost = await read(stage, state)
        after = await read(stage, state)

        assert [wire.codes(tree) for tree in (first, lost, after)] == [
            ["NoError"],
            ["ErrorInvalidSyncStateData"],
            ["NoError"],
        ]


@pytest.mark.asyncio
async def test_after_a_migration_old_ids_and_states_are_worth_nothing_and_a_new_reading_finds_the_same_meetings() -> (
    None
):
    async with staged(47) as stage:
        mine, copy = stage.book()
        assert stage.room.calendar is not None
        folder = f'<t:FolderId Id="{stage.room.calendar.id}"/>'
        state = str((await stage.in_room(wire.sync())).findtext(".//m:SyncState", namespaces=wire.NS))
        series = stage.actions.create(
            stage.ann.primary, "Daily", stage.at(1), stage.at(1, 1), rooms=[stage.room.primary],
            recurrence=Recurrence(Daily(1), stage.at(1).date(), count=3),
        )  # fmt: skip
        stage.post.settle()

        stage.room.migrate()

        assert wire.codes(await stage.in_room(wire.get_item(copy.item_id))) == ["ErrorItemNotFound"]
        assert wire.codes(await stage.in_room(wire.sync(folder=folder))) == ["ErrorSyncFolderNotFound"]
        assert wire.codes(await stage.in_room(wire.sync(state))) == ["ErrorInvalidSyncStateData"]
        anew = await stage.in_room(wire.sync(fields="calendar:UID"))
        assert set(wire.texts(anew, ".//t:UID")) == {mine.uid, series.uid}
        view = await stage.in_room(wire.calendar_view("2026-11-21T00:00:00Z", "2026-11-30T00:00:00Z"))
        occurrences = [str(one.get("Id")) for one in view.iterfind(".//t:ItemId", wire.NS)]
        assert len(occurrences) == 3
        assert set(wire.codes(await stage.in_room(wire.get_item(*occurrences)))) == {"NoError"}
