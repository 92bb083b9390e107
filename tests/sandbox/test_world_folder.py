"""Folders and mailboxes: ids, change keys, the change log, what is announced; and who is found by which name."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import ANN, BERLIN, BOB, ELM, EVE, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox import folder as folder_module
from kalends_sandbox.ids import Ids, clean_uid, global_object_id, instance_uid
from kalends_sandbox.item import Item
from kalends_sandbox.recurrence import Daily, Recurrence
from kalends_sandbox.world import named


def item(uid="u", subject="s"):
    return Item(uid=uid, subject=subject, start=MONDAY, end=MONDAY + HOUR, zone=BERLIN)


def test_a_saved_item_keeps_its_id_and_gets_a_new_change_key():
    calendar = SmallWorld().calendar(ANN)
    first = calendar.add(item())

    second = calendar.save(replace(first, subject="t"))

    assert second.item_id == first.item_id
    assert second.change_key != first.change_key
    assert calendar.items == {first.item_id: second}


def test_a_reader_learns_once_what_it_missed():
    calendar = SmallWorld().calendar(ANN)
    old, gone = calendar.add(item("a")), calendar.add(item("b"))
    before = calendar.changes_since(0, 100).sequence

    calendar.save(replace(old, subject="t"))
    calendar.remove(gone.item_id)
    new = calendar.add(item("c"))
    brief = calendar.add(item("d"))
    calendar.remove(brief.item_id)
    delta = calendar.changes_since(before, 100)

    assert [one.subject for one in delta.updated] == ["t"]
    assert delta.deleted == (gone.item_id,)
    assert delta.created == (new,)
    assert not delta.more
    assert calendar.changes_since(delta.sequence, 100) == replace(delta, created=(), updated=(), deleted=())


@given(
    st.lists(st.tuples(st.sampled_from("asr"), st.integers(0, 5)), max_size=60), st.integers(1, 7), st.integers(0, 60)
)
def test_a_reader_that_follows_the_log_page_by_page_knows_the_folder(deeds, page, pause):
    calendar = SmallWorld().calendar(ANN)
    mirror: dict[str, Item] = {}
    sequence = base = 0

    def read():
        nonlocal sequence, base
        while True:
            delta = calendar.changes_since(sequence, page, base)
            assert all(one.item_id in mirror for one in delta.updated)
            mirror.update({one.item_id: one for one in (*delta.created, *delta.updated)})
            for gone in delta.deleted:
                mirror.pop(gone, None)
            sequence, base = delta.sequence, delta.base
            if not delta.more:
                return

    for number, (deed, which) in enumerate(deeds):
        known = list(calendar.items.values())
        if deed == "a" or not known:
            calendar.add(item(f"u{number}"))
        elif deed == "s":
            calendar.save(replace(known[which % len(known)], subject=str(number)))
        else:
            calendar.remove(known[which % len(known)].item_id)
        if number == pause:
            read()
    read()

    assert mirror == calendar.items


def test_an_item_made_and_edited_across_a_page_end_is_new_to_who_never_saw_it():
    calendar = SmallWorld().calendar(ANN)
    before = calendar.sequence
    early, other = calendar.add(item("a")), calendar.add(item("b"))
    calendar.save(replace(early, subject="edited before any page was read"))

    first = calendar.changes_since(before, 1)
    rest = calendar.changes_since(first.sequence, 9, first.base)

    assert (first.created, first.more, first.base) == ((other,), True, before)
    assert [one.subject for one in rest.created] == ["edited before any page was read"]
    assert rest.updated == ()
    assert (rest.more, rest.base) == (False, calendar.sequence)


def test_a_reader_from_before_the_forgotten_deletions_is_behind_the_horizon(monkeypatch):
    monkeypatch.setattr(folder_module, "MAX_TOMBSTONES", 3)
    calendar = SmallWorld().calendar(ANN)
    start = calendar.sequence

    for number in range(5):
        calendar.remove(calendar.add(item(str(number))).item_id)

    assert start < calendar.horizon <= calendar.sequence
    assert len(calendar.changes_since(0, 100).deleted) == 0
    assert len(calendar.changes_since(calendar.horizon, 100).deleted) <= 3


def test_changes_are_announced_with_the_ids_that_notifications_need():
    world = SmallWorld()
    calendar = world.calendar(ANN)
    mailbox = world.world.mailbox(ANN)

    first = calendar.add(item())
    calendar.save(replace(first, subject="t"))
    calendar.save(replace(calendar.items[first.item_id], show_as="Free"))
    moved = mailbox.move(first.item_id, mailbox.folders["deleteditems"])

    told = [(one.what, one.item_id, one.folder.kind) for one in world.heard]
    assert told == [
        ("created", first.item_id, "calendar"),
        ("free_busy", first.item_id, "calendar"),
        ("modified", first.item_id, "calendar"),
        ("modified", first.item_id, "calendar"),
        ("free_busy", first.item_id, "calendar"),
        ("moved", moved.item_id, "deleteditems"),
    ]
    assert (world.heard[-1].old_item_id, world.heard[-1].old_folder) == (first.item_id, calendar)
    assert all(one.mailbox is mailbox for one in world.heard)


def test_a_moved_item_has_a_new_id_and_is_gone_under_the_old_one():
    world = SmallWorld()
    calendar = world.calendar(ANN)
    first = calendar.add(item())
    before = calendar.sequence

    moved = world.actions.refile(ANN, first.item_id)

    assert moved.item_id != first.item_id
    assert (moved.uid, moved.created) == (first.uid, first.created)
    assert calendar.find(first.item_id) is None
    delta = calendar.changes_since(before, 10)
    assert (delta.created, delta.deleted) == ((moved,), (first.item_id,))


def test_ids_are_never_given_twice_though_some_differ_by_case_alone():
    ids = Ids(random.Random(3))

    given_out = [ids.item() for _ in range(2000)]

    assert len(set(given_out)) == 2000
    assert 20 < 2000 - len({one.lower() for one in given_out}) < 100


def test_a_uid_is_a_global_object_id_that_carries_an_instance_date_when_told_to():
    ids = Ids(random.Random(3))
    uid = ids.uid(MONDAY)

    single = instance_uid(uid, MONDAY.date())

    assert uid.startswith("040000008200E00074C5B7101A82E00800000000")
    assert single[32:40] == f"{2026:04X}{11:02X}{23:02X}"
    assert clean_uid(single) == uid
    assert global_object_id(uid).hex().upper() == uid
    assert len(global_object_id(uid)) == 56


def test_a_uid_from_elsewhere_is_wrapped_and_stays_as_it_is():
    assert clean_uid("abc@elsewhere") == instance_uid("abc@elsewhere", MONDAY.date()) == "abc@elsewhere"
    assert b"vCal-Uid\x01\x00\x00\x00abc@elsewhere\x00" in global_object_id("abc@elsewhere")


def test_every_mailbox_is_found_by_all_its_names_in_any_case():
    world = SmallWorld().world
    ann = world.mailbox(ANN)

    assert world.mailbox("ANN.Alias@Small.Example") is ann
    assert world.by_upn("ANN@small.example") is ann
    assert world.by_sid(ann.sid.lower()) is ann
    assert [one.name for one in named(world, "e")] == ["Elm", "Eve"]
    assert world.mailbox("nobody@small.example") is None


def test_an_address_given_twice_is_refused():
    world = SmallWorld().world

    with pytest.raises(ValueError, match=r"ann.alias@small.example is given twice"):
        world.add_mailbox("Other", "Ann.Alias@small.example")


def test_impersonation_reaches_its_scope_and_no_further():
    world = SmallWorld().world
    account = world.account("SVC")

    reached = {
        address for address in (OAK, ELM, ANN, BOB, EVE) if world.may_impersonate(account, world.mailbox(address))
    }

    assert reached == {OAK, ELM, ANN}


def test_an_occurrence_id_of_another_mailbox_is_not_found():
    world = SmallWorld()
    daily = Recurrence(Daily(), MONDAY.date())
    world.actions.create(ANN, "s", MONDAY, MONDAY + HOUR, recurrence=daily)
    world.actions.create(BOB, "s", MONDAY, MONDAY + HOUR, recurrence=daily)

    (occurrence,) = world.calendar(ANN).view(MONDAY, MONDAY + timedelta(hours=2))

    assert world.calendar(ANN).find(occurrence.item_id) == occurrence
    assert world.calendar(BOB).find(occurrence.item_id) is None
    assert world.calendar(ANN).find("AAMkbm9uc2Vuc2U=") is None
