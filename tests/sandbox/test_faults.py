"""Fault rules: who is struck, how often, and what is refused."""

import random
from typing import Any

import pytest

from kalends_sandbox.faults import AFTERWARDS, INSTEAD, KINDS, FaultRefused, Faults, afterwards, instead
from kalends_sandbox.http import Response


def faults(seed: int = 1) -> Faults:
    return Faults(random.Random(seed))


@pytest.mark.parametrize(
    ("rule", "operation", "mailbox", "strikes", "reason"),
    [
        ({}, "GetItem", "a@x", True, "no pattern strikes everything"),
        ({"mailbox": "A@*"}, "GetItem", "a@x", True, "mailboxes match in any case"),
        ({"mailbox": "b@*"}, "GetItem", "a@x", False, "another mailbox is spared"),
        ({"operation": "get*"}, "GetItem", "a@x", True, "operations match in any case"),
        ({"operation": "Find*"}, "GetItem", "a@x", False, "another operation is spared"),
    ],
)
def test_a_rule_strikes_whom_its_patterns_name(
    rule: dict[str, Any], operation: str, mailbox: str, strikes: bool, reason: str
) -> None:
    some = faults()
    some.add("http_503", **rule)

    assert (some.strike(INSTEAD, operation, mailbox) is not None) is strikes, reason


def test_a_count_is_used_up() -> None:
    some = faults()
    fault = some.add("http_429", count=2)

    struck = [some.strike(INSTEAD, "GetItem", "a@x") is not None for _ in range(4)]

    assert struck == [True, True, False, False]
    assert (fault.struck, fault.count) == (2, 0)


def test_a_rate_is_kept_and_repeats_with_its_seed() -> None:
    def run(seed: int) -> list[bool]:
        some = faults(seed)
        some.add("slow", rate=0.3)
        return [some.strike(AFTERWARDS, "GetItem", "a@x") is not None for _ in range(2000)]

    assert run(1) == run(1) != run(2)
    assert 500 < sum(run(1)) < 700


def test_only_kinds_asked_for_strike_and_rules_can_be_taken_away() -> None:
    some = faults()
    first, second = some.add("slow"), some.add("http_503")

    assert some.strike(INSTEAD, "GetItem", "") is second
    assert some.remove(second.number)
    assert not some.remove(second.number)
    assert some.strike(INSTEAD, "GetItem", "") is None
    assert some.rules() == [first]
    some.clear()
    assert some.rules() == []


@pytest.mark.parametrize(
    ("name", "rule", "says"),
    [
        ("earthquake", {}, "no fault called 'earthquake'"),
        ("slow", {"rate": 0}, "above 0"),
        ("slow", {"rate": 1.5}, "at most 1"),
        ("slow", {"count": 0}, "1 or more"),
        ("slow", {"parameters": {"delay": 1}}, "no parameter 'delay'. It has: delay_s, bytes_per_s"),
        ("slow", {"parameters": {"delay_s": "soon"}}, "a number"),
        ("slow", {"parameters": {"delay_s": -1}}, "0 or more"),
        ("slow", {"parameters": {"delay_s": True}}, "a number"),
        ("http_401", {"parameters": {"x": 1}}, "It has: none"),
        ("server_busy", {"parameters": {"form": "shout"}}, "one of fault, message, inner"),
        ("cut_answer", {"parameters": {"how": "gently"}}, "one of close, reset"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_a_sentence(name: str, rule: dict[str, Any], says: str) -> None:
    some = faults()

    with pytest.raises(FaultRefused, match=says):
        some.add(name, **rule)

    assert some.rules() == []


def test_a_rule_reads_back_as_json_with_its_defaults_filled_in() -> None:
    fault = faults().add(
        "server_busy", mailbox="a@x", operation="GetItem", rate=0.5, count=3, parameters={"form": "message"}
    )

    assert fault.as_json() == {
        "number": 1,
        "name": "server_busy",
        "mailbox": "a@x",
        "operation": "GetItem",
        "rate": 0.5,
        "count": 3,
        "struck": 0,
        "parameters": {"back_off_ms": 1000, "form": "message"},
    }


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_it_does(name: str) -> None:
    assert KINDS[name].says.endswith(".")
    assert faults().add(name).parameters == dict(KINDS[name].defaults)


@pytest.mark.parametrize("retry_after", ["7", "Fri, 20 Nov 2026 09:00:00 GMT", "-3", ""])
def test_retry_after_goes_out_as_written_or_not_at_all(retry_after: str) -> None:
    fault = faults().add("http_429", parameters={"retry_after": retry_after})

    response = instead(fault)

    assert response.status == 429
    assert dict(response.headers).get("Retry-After") == (retry_after or None)


def test_malformed_xml_cannot_be_parsed_but_looks_like_the_answer() -> None:
    response = Response(200, [], b"<a><b>one</b><c>two</c></a>")

    afterwards(faults().add("malformed_xml"), response)

    assert response.body == b"<a><b>one</b><c> & two</c>"
