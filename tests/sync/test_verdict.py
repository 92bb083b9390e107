"""Any exception becomes data, and what it says is what an admin would want."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.providers.protocol import (
    AuthLost,
    CalendarGone,
    Conflict,
    CursorExpired,
    Rejected,
    Throttled,
    Unavailable,
)
from kalends.seal import SealError
from kalends.sync.verdict import FIRST_WAIT, LONGEST_WAIT, LONGEST_WISH, Held, Outcome, back_off, judge


def verdict(error: Exception, failures: int = 0):
    return judge(error, failures, random.Random(1))


def test_a_lost_cursor_is_a_full_read_at_once_and_shown_to_nobody() -> None:
    said = verdict(CursorExpired())

    assert (said.outcome, said.retry_in, said.forget_cursor) == (Outcome.CURSOR_EXPIRED, timedelta(0), True)
    assert said.calendar is None


def test_a_server_that_refuses_its_own_cursors_is_asked_ever_more_seldom_and_named() -> None:
    said = verdict(CursorExpired("It no longer knows."), failures=6)

    assert said.counts_as_failure
    assert said.retry_in > timedelta(seconds=60)
    assert (said.calendar, said.reason) == ("degraded", "It no longer knows.")


def test_credentials_that_do_not_open_ask_for_an_admin() -> None:
    said = verdict(SealError("Enter the credentials again."))

    assert (said.account, said.reason, said.rest_account) == ("reauthenticate", "Enter the credentials again.", True)


def test_a_refused_sign_in_rests_the_whole_account_and_asks_for_an_admin() -> None:
    said = verdict(AuthLost("The password was refused."))

    assert (said.account, said.rest_account) == ("reauthenticate", True)
    assert said.reason == "The password was refused."
    assert said.retry_in >= timedelta(minutes=30), "a wrong password is not tried again and again: accounts get locked"


def test_a_vanished_calendar_is_marked_gone_and_loses_nothing() -> None:
    said = verdict(CalendarGone("No mailbox."))

    assert (said.calendar, said.account, said.forget_cursor) == ("gone", None, False)


def test_the_servers_wish_to_wait_wins_over_ours() -> None:
    said = verdict(Throttled(timedelta(seconds=90)), failures=9)

    assert timedelta(seconds=90) <= said.retry_in <= timedelta(seconds=99)
    assert said.rest_account


def test_a_wish_beyond_an_hour_is_asked_again_after_an_hour() -> None:
    said = verdict(Throttled(timedelta(days=2)))

    assert LONGEST_WISH <= said.retry_in <= LONGEST_WISH * 1.1


def test_a_brief_pause_is_shown_to_nobody_and_a_long_one_to_everybody() -> None:
    assert verdict(Throttled(timedelta(seconds=2))).calendar is None
    assert verdict(Throttled(timedelta(minutes=10))).calendar == "degraded"
    assert verdict(Throttled(timedelta(minutes=10))).account == "degraded"
    assert verdict(Throttled(timedelta(minutes=10), whole_account=False)).account is None


@pytest.mark.parametrize("error", [Unavailable("x"), Rejected("x"), Conflict("x"), KeyError("x")])
def test_whatever_else_happens_the_calendar_is_degraded_and_tried_again(error: Exception) -> None:
    said = verdict(error)

    assert said.calendar == "degraded"
    assert timedelta(0) < said.retry_in <= LONGEST_WAIT
    assert said.counts_as_failure


def test_our_own_failure_is_told_without_its_message() -> None:
    said = verdict(KeyError("Board meeting about the merger"))

    assert "KeyError" in said.reason
    assert "merger" not in said.reason


def test_the_breaker_asks_and_does_not_count_as_a_failure() -> None:
    said = verdict(Held("60 of 80 meetings would disappear."))

    assert (said.calendar, said.counts_as_failure) == ("held", False)


@given(failures=st.integers(0, 10_000), seed=st.integers())
def test_waits_grow_and_stay_bounded(failures: int, seed: int) -> None:
    wait = back_off(failures, random.Random(seed))

    assert FIRST_WAIT / 2 <= wait <= LONGEST_WAIT
