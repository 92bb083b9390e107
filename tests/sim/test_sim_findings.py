"""What the virtual hour found: each seed's story in its smallest form, so that it stays mended."""

import asyncio
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from kalends.store import schema
from kalends.store.door import inline_store
from kalends_sandbox.actions import Change
from kalends_sandbox.sandbox import Plan, opened
from kalends_sim.clocks import hub_clock, sandbox_clock
from kalends_sim.hub import Site, Worker, set_up
from kalends_sim.loop import SimLoop
from kalends_sim.simulation import START, run


def test_a_meeting_that_answers_cut_short_made_unreadable_is_read_again_within_half_an_hour(tmp_path: Path) -> None:
    """Seed 102: three cut answers in a row look like a bad item, which nobody looked at again for six hours."""

    async def story(loop: SimLoop) -> tuple[int, int, list[str]]:
        plan = Plan(world="one-mailbox", control_port=None)
        async with opened(plan, sandbox_clock(loop, START)) as sandbox:
            site = Site(loop, tmp_path / "kalends.sqlite3", hub_clock(loop, START))
            worker = Worker(site, "worker")
            world = sandbox.founded.world
            await set_up(site, sandbox.exchange_url, world.accounts[0])
            worker.start(takes_over=True)
            await asyncio.sleep(5)
            [ada] = world.people
            assert ada.calendar is not None
            [meeting] = ada.calendar.items.values()
            sandbox.faults.add("malformed_xml", operation="GetItem", count=3)
            sandbox.founded.actions.edit(ada.primary, meeting.uid, Change(location="The attic"))
            await asyncio.sleep(10)
            unreadable = len(_column(site.file, schema.unreadable.c.item))
            await asyncio.sleep(timedelta(minutes=30).total_seconds())
            return (
                unreadable,
                len(_column(site.file, schema.unreadable.c.item)),
                _places(site),
            )

    unreadable_at_first, unreadable_later, places = run(story, seed=1).result

    assert unreadable_at_first == 1
    assert unreadable_later == 0
    assert places == ["The attic"]


def _places(site: Site) -> list[str | None]:
    e = schema.events.c
    with inline_store(site.file).engine.begin() as conn:
        [organization] = conn.execute(select(schema.organizations.c.id)).scalars()
        contents = site.contents(conn, organization)
        return [contents.open(*row).location for row in conn.execute(select(e.calendar, e.item, e.content))]


def _column(file: Path, column: object) -> list[str]:
    with inline_store(file).engine.connect() as conn:
        return list(conn.execute(select(column)).scalars())  # type: ignore[call-overload]
