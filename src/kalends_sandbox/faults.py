"""What goes wrong, how often and for whom: seeded rules that the control API switches and the dialects obey.

A rule names a kind of trouble (`KINDS`), the mailboxes and operations it strikes (shell patterns, any case), the chance
per call and how often at most. This module only decides; `http.py` carries out what happens on the wire and each
dialect (`exchange/`) turns the rest into its own words.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from types import MappingProxyType
from typing import Literal

from kalends_sandbox.http import Response, Trouble

Value = str | int | float | bool | None


class FaultRefused(ValueError):
    """The rule names a kind, parameter or value that does not exist; the text says which and what does."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`defaults` are all the parameters there are; a value given must be of the default's sort."""

    says: str
    defaults: Mapping[str, Value] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # answered without touching the mailbox
        "server_busy": Kind(
            "Refused as busy; back_off_ms 0 leaves the hint out; form fault (HTTP 500), message or inner (HTTP 200).",
            {"back_off_ms": 1000, "form": "fault"},
        ),
        "http_503": Kind("HTTP 503; retry_after goes out as it is, empty leaves it out.", {"retry_after": "5"}),
        "http_429": Kind("HTTP 429; retry_after goes out as it is, empty leaves it out.", {"retry_after": "5"}),
        "http_401": Kind("The sign-in is refused although it is right."),
        "ews_blocked": Kind("HTTP 403 with no body: EWS is switched off, as in Exchange Online since October 2026."),
        "reset_before": Kind("The connection is reset; nothing was processed."),
        "html_login_page": Kind("HTTP 200 with a sign-in page instead of an answer."),
        "huge_answer": Kind("An answer of this many bytes.", {"size_bytes": 20_000_000}),
        "drop_subscriptions": Kind("The mailbox's subscriptions are gone, as after a failover."),
        # processed, but the answer suffers
        "reset_after_processing": Kind("Processed; the connection is reset before the first byte of the answer."),
        "reset_after_answer": Kind("Answered completely; then the connection is reset."),
        "cut_answer": Kind(
            "The answer ends after after_bytes (of all, headers too) or, above 0, after_s; how: close or reset.",
            {"after_bytes": 600, "after_s": 0.0, "how": "close"},
        ),
        "half_open": Kind("Nothing more arrives after after_s, and the connection stays open.", {"after_s": 0.0}),
        "slow": Kind(
            "The answer begins delay_s later and goes out at bytes_per_s (0: at full speed).",
            {"delay_s": 2.0, "bytes_per_s": 0},
        ),
        "malformed_xml": Kind("The answer's last closing tag is missing and a bare & stands in the middle."),
        "invalid_sync_state": Kind("A sync state is not accepted any more."),
        "events_unreadable": Kind("A pull subscription's events cannot be read; the subscription is gone."),
        # notifications; their operation is called Notification
        "lose_notification": Kind("The events of one change are never sent."),
        "double_notification": Kind("The events of one change are sent this many times.", {"times": 2}),
        "late_notification": Kind("The events of one change are sent delay_s later.", {"delay_s": 5.0}),
    }
)

_CHOICES = {"form": ("fault", "message", "inner"), "how": ("close", "reset")}


@dataclass(slots=True)
class Fault:
    """One rule; `count` is how often it may still strike (None: always), `struck` how often it has."""

    number: int
    name: str
    mailbox: str
    operation: str
    rate: float
    count: int | None
    parameters: dict[str, Value]
    struck: int = 0

    def number_of(self, parameter: str) -> float:
        value = self.parameters[parameter]
        assert isinstance(value, (int, float))
        return float(value)

    def text_of(self, parameter: str) -> str:
        return str(self.parameters[parameter])

    def matches(self, operation: str, mailbox: str) -> bool:
        return (self.count is None or self.count > 0) and (
            fnmatchcase(operation.lower(), self.operation.lower())
            and fnmatchcase(mailbox.lower(), self.mailbox.lower())
        )

    def as_json(self) -> dict[str, object]:
        return {
            "number": self.number,
            "name": self.name,
            "mailbox": self.mailbox,
            "operation": self.operation,
            "rate": self.rate,
            "count": self.count,
            "struck": self.struck,
            "parameters": dict(self.parameters),
        }


class Faults:
    """The rules in force, in the order they were added."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._rules: dict[int, Fault] = {}
        self._next = 1

    def add(
        self,
        name: str,
        *,
        mailbox: str = "*",
        operation: str = "*",
        rate: float = 1.0,
        count: int | None = None,
        parameters: Mapping[str, Value] | None = None,
    ) -> Fault:
        """Puts a rule in force; raises FaultRefused with a sentence if it makes no sense."""
        if name not in KINDS:
            raise FaultRefused(f"There is no fault called {name!r}. There are: {', '.join(KINDS)}.")
        if not 0 < rate <= 1:
            raise FaultRefused(f"The rate is the chance per call, above 0 and at most 1, not {rate}.")
        if count is not None and count < 1:
            raise FaultRefused(f"The count is how often the fault may strike, 1 or more, not {count}.")
        values = _checked(name, parameters or {})
        fault = Fault(self._next, name, mailbox, operation, rate, count, values)
        self._rules[self._next] = fault
        self._next += 1
        return fault

    def remove(self, number: int) -> bool:
        return self._rules.pop(number, None) is not None

    def clear(self) -> None:
        self._rules.clear()

    def rules(self) -> list[Fault]:
        return list(self._rules.values())

    def strike(self, names: Iterable[str], operation: str, mailbox: str) -> Fault | None:
        """The first rule of these kinds that strikes this call, counted; None if the call is spared."""
        if not self._rules:
            return None
        wanted = tuple(names)
        for fault in self._rules.values():
            if fault.name not in wanted or not fault.matches(operation, mailbox):
                continue
            if fault.rate < 1 and self._rng.random() >= fault.rate:
                continue
            fault.struck += 1
            if fault.count is not None:
                fault.count -= 1
            return fault
        return None


def _checked(name: str, given: Mapping[str, Value]) -> dict[str, Value]:
    defaults = KINDS[name].defaults
    for parameter, value in given.items():
        if parameter not in defaults:
            known = ", ".join(defaults) or "none"
            raise FaultRefused(f"The fault {name} has no parameter {parameter!r}. It has: {known}.")
        if parameter in _CHOICES and value not in _CHOICES[parameter]:
            raise FaultRefused(f"{parameter} of {name} is one of {', '.join(_CHOICES[parameter])}, not {value!r}.")
        if isinstance(defaults[parameter], (int, float)) and not _is_amount(value):
            raise FaultRefused(f"{parameter} of {name} is a number, 0 or more, not {value!r}.")
    return {**defaults, **given}


def _is_amount(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9


# Kinds that any dialect on `http.py` can play without knowing what it says.

INSTEAD = ("http_503", "http_429", "reset_before", "html_login_page")
AFTERWARDS = ("reset_after_processing", "reset_after_answer", "cut_answer", "half_open", "slow", "malformed_xml")

_LOGIN_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>"
    b"<body><form><input name=user><input name=password type=password></form></body></html>\n"
)


def instead(fault: Fault) -> Response:
    """The answer given in place of the real one, for the kinds in INSTEAD."""
    if fault.name == "reset_before":
        return Response(200, trouble=Trouble(then="reset", after_bytes=0))
    if fault.name == "html_login_page":
        return Response(200, [("Content-Type", "text/html; charset=utf-8")], _LOGIN_PAGE)
    status = int(fault.name.removeprefix("http_"))
    retry_after = fault.text_of("retry_after")
    headers = [("Content-Type", "text/html")] + ([("Retry-After", retry_after)] if retry_after else [])
    return Response(status, headers, b"<html><body>The service is unavailable.</body></html>\n")


def afterwards(fault: Fault, response: Response) -> None:
    """Spoils the real answer on its way to the client, for the kinds in AFTERWARDS."""
    if fault.name == "malformed_xml":
        response.body = _malformed(response.body) if isinstance(response.body, bytes) else _unfinished(response.body)
        return
    response.trouble = _trouble(fault, isinstance(response.body, bytes))


async def played(faults: "Faults", operation: str, mailbox: str, answer: Callable[[], Response]) -> Response:
    """An answer with whatever trouble is due for it: for servers that have no words of their own for any."""
    fault = faults.strike(INSTEAD, operation, mailbox)
    if fault is not None:
        return instead(fault)
    response = answer()
    fault = faults.strike(AFTERWARDS, operation, mailbox)
    if fault is not None:
        if fault.name == "slow":
            await asyncio.sleep(fault.number_of("delay_s"))
        afterwards(fault, response)
    return response


def _trouble(fault: Fault, is_whole: bool) -> Trouble:
    if fault.name == "reset_after_processing":
        return Trouble(then="reset", after_bytes=0)
    if fault.name == "reset_after_answer":
        return Trouble(then="reset")
    if fault.name == "slow":
        return Trouble(bytes_per_s=int(fault.number_of("bytes_per_s")) or None)  # the delay is the dialect's to wait
    after_s = fault.number_of("after_s")
    if fault.name == "half_open":
        return Trouble(then="silence", after_bytes=0) if is_whole else Trouble(then="silence", after_s=after_s)
    how: Literal["reset", "close"] = "reset" if fault.text_of("how") == "reset" else "close"
    if after_s:
        return Trouble(then=how, after_s=after_s)
    return Trouble(then=how, after_bytes=int(fault.number_of("after_bytes")))


def _malformed(body: bytes) -> bytes:
    whole = body.rstrip()
    middle = whole.find(b">", len(whole) // 2) + 1
    return whole[:middle] + b" & " + whole[middle : whole.rfind(b"</")]


async def _unfinished(documents: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """A stream whose documents are spoiled one by one."""
    async with aclosing(documents):
        async for document in documents:
            yield _malformed(document)
