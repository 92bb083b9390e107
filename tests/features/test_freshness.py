"""How far a calendar can be believed. A room must never look free on the word of a stream that spoke too soon."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kalends.features.freshness import AccountFacts, CalendarFacts, is_fresh, proof_of
from kalends.model.availability import Policy

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
POLICY = Policy(stale_after=timedelta(seconds=90))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def calendar(**values: object) -> CalendarFacts:
    account = AccountFacts("acc_1", "Exchange", "exchange", "in_sync", "", ago(3600), "P3")
    facts = CalendarFacts(
        id="cal_1", address="oak@example.org", name="Oak", account=account, state="in_sync", reason="", since=ago(3600),
        heard_at=ago(10), verified_at=ago(500), changed_at=ago(500), lag_p50_ms=None, lag_p95_ms=None, unreadable=0,
    )  # fmt: skip
    return replace(facts, **values)  # type: ignore[arg-type]


def test_a_living_stream_proves_a_calendar_that_is_in_sync() -> None:
    assert proof_of(calendar()).at == ago(10)


def test_news_that_waits_ends_the_streams_proof_when_it_came() -> None:
    waiting = calendar(woken_at=ago(120))

    assert proof_of(waiting).at == ago(120)
    assert not is_fresh(waiting, NOW, POLICY)


def test_a_pull_that_is_only_due_later_takes_nothing_away() -> None:
    assert proof_of(calendar(woken_at=NOW + timedelta(seconds=30))).at == ago(10)


def test_a_pull_that_failed_leaves_only_the_last_one_that_ended() -> None:
    assert proof_of(calendar(pull_failures=1)).at == ago(500)


@pytest.mark.parametrize("state", ["degraded", "held", "gone", "catching_up"])
def test_a_calendar_in_trouble_lives_on_its_last_pull(state: str) -> None:
    assert proof_of(calendar(state=state)).at == ago(500)


def test_before_the_first_pull_ended_nothing_is_proved() -> None:
    assert proof_of(calendar(verified_at=None)).at is None
    assert proof_of(None).at is None
