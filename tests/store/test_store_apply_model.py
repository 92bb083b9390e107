"""`apply` against the simplest thing that could be right: a dictionary. Any sequence of pages must leave both alike."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from store_given import CALENDAR, CONTENTS, HOUR, NOW, ORG, WINDOW, given_lease, instance, page, series, single

from kalends.model.event import Event, ItemId, Kind, Unreadable, Version
from kalends.model.time import Span
from kalends.providers.protocol import InWindow, OfSeries, Page
from kalends.store import events, feed
from kalends.store.door import inline_store
from kalends.store.event_rows import key_of
from kalends.store.schema import events as table

STORE = inline_store()
"""Each example is rolled back."""
HOURS = st.integers(-2, 8)
LENGTHS = st.integers(0, 4)
ITEMS = st.sampled_from("aAbcde")
MASTERS = st.sampled_from("ST")


@dataclass
class Model:
    """What the calendar should hold, by item."""

    held: dict[str, Event] = field(default_factory=dict)

    def apply(self, given: Page, window: Span) -> None:
        present = {event.item for event in given.events} | given.unchanged | {bad.item for bad in given.unreadable}
        for item, event in list(self.held.items()):
            is_named = item in given.removed or event.master in given.removed
            if item not in present and (is_named or any(self._covers(scope, event) for scope in given.complete)):
                del self.held[item]
        self.held.update({event.item: event for event in given.events})
        for item, event in list(self.held.items()):
            if event.kind is not Kind.SERIES and event.span.end <= window.start and event.span.start < window.start:
                del self.held[item]

    @staticmethod
    def _covers(scope: InWindow | OfSeries, event: Event) -> bool:
        if event.kind is Kind.SERIES or not event.span.overlaps(scope.span):
            return False
        return isinstance(scope, InWindow) or event.master == scope.master


@st.composite
def an_event(draw: st.DrawFn) -> Event:
    start, length = NOW + draw(HOURS) * HOUR, draw(LENGTHS) * HOUR
    shape = draw(st.sampled_from(("single", "series", "instance")))
    version, subject = Version(str(draw(st.integers(1, 3)))), draw(st.sampled_from(("Tea", "Coffee")))
    if shape == "series":
        master = draw(MASTERS)
        event = series(master, f"uid-{master}", start)
    elif shape == "instance":
        master = draw(MASTERS)
        event = instance(draw(ITEMS), master, f"uid-{master}", start)
    else:
        event = single(draw(ITEMS), start, length, uid=draw(st.sampled_from(("u1", "u2", "u3"))))
    return replace(event, version=version, subject=subject)


@st.composite
def a_scope(draw: st.DrawFn) -> InWindow | OfSeries:
    start = NOW + draw(HOURS) * HOUR
    span = Span(start, start + draw(LENGTHS) * HOUR)
    return draw(st.one_of(st.just(InWindow(span)), st.builds(OfSeries, MASTERS.map(ItemId), st.just(span))))


@st.composite
def a_page(draw: st.DrawFn) -> Page:
    found = draw(st.lists(an_event(), max_size=5, unique_by=lambda event: event.item))
    unreadable = st.builds(Unreadable, ITEMS.map(ItemId), st.none(), st.just("Its start is no date."))
    return page(
        *found,
        removed=draw(st.frozensets(st.one_of(ITEMS, MASTERS), max_size=3)),
        complete=draw(st.lists(a_scope(), max_size=2)),
        unchanged=draw(st.frozensets(ITEMS, max_size=3)),
        unreadable=draw(st.lists(unreadable, max_size=1)),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(a_page(), st.integers(0, 3)), max_size=6))
def test_any_sequence_of_pages_leaves_what_a_dictionary_would_hold(pages: list[tuple[Page, int]]) -> None:
    model, rolled = Model(), 0
    with STORE.engine.connect() as conn, conn.begin() as transaction:
        lease = given_lease(conn)
        for given_page, roll in pages:
            rolled += roll
            window = Span(NOW - HOUR + timedelta(hours=rolled), WINDOW.end)
            before = conn.connection.dbapi_connection.total_changes  # type: ignore[union-attr]
            events.apply(conn, CONTENTS, lease, CALENDAR, given_page, window, NOW)
            model.apply(given_page, window)
            first = conn.connection.dbapi_connection.total_changes  # type: ignore[union-attr]
            events.apply(conn, CONTENTS, lease, CALENDAR, given_page, window, NOW)
            second = conn.connection.dbapi_connection.total_changes  # type: ignore[union-attr]

            keys = list(conn.execute(select(table.c.key)).scalars())
            found = {event.item: event for pairs in events.by_keys(conn, CONTENTS, keys).values() for _, event in pairs}
            assert found == model.held
            assert second == first >= before, "the same page again writes nothing"
            assert {item: known.version for item, known in events.known(conn, CALENDAR).items()} == {
                item: event.version for item, event in model.held.items()
            }
            everything = events.in_span(conn, CONTENTS, [CALENDAR], Span(NOW - 99 * HOUR, NOW + 99 * HOUR))[CALENDAR]
            assert {event.item for event in everything} == {
                item for item, event in model.held.items() if event.kind is not Kind.SERIES
            }
        transaction.rollback()


@settings(max_examples=100, deadline=None)
@given(st.lists(a_page(), max_size=6))
def test_whoever_follows_the_feed_by_key_ends_with_what_the_store_holds(pages: list[Page]) -> None:
    followed: dict[str, list[Event]] = {}
    cursor: str | None = None
    with STORE.engine.connect() as conn, conn.begin() as transaction:
        lease = given_lease(conn)
        for given_page in pages:
            events.apply(conn, CONTENTS, lease, CALENDAR, given_page, WINDOW, NOW)
            batch = feed.after(conn, ORG, cursor)
            cursor = batch.cursor
            touched = {change.key for change in batch.changes if change.kind.startswith("event.")}
            fresh = events.by_keys(conn, CONTENTS, sorted(touched))
            followed.update({key: [event for _, event in fresh.get(key, [])] for key in touched})

        keys = sorted(set(conn.execute(select(table.c.key)).scalars()))
        held = {key: [event for _, event in pairs] for key, pairs in events.by_keys(conn, CONTENTS, keys).items()}
        assert {key: _content(found) for key, found in followed.items() if found} == {
            key: _content(found) for key, found in held.items()
        }
        assert all(key == key_of(CALENDAR, event) for key, found in held.items() for event in found)
        transaction.rollback()


def _content(found: list[Event]) -> list[Event]:
    """Without what is no news: ids and versions."""
    bare = (replace(event, item=ItemId(""), version=Version(""), master=None, modified_at=None) for event in found)
    return sorted(bare, key=repr)
