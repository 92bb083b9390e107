"""The control API: JSON over a port of its own, for whoever directs a sandbox. docs/sandbox.md is its reference.

It acts as people do (verbs.py), sets the clock, switches faults and tells the truth (truth.py) beside what the wire
says. Neighbours: http.py serves it, sandbox.py gives it its port.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Protocol
from urllib.parse import parse_qs

from kalends_sandbox import truth
from kalends_sandbox.actions import ActionRefused
from kalends_sandbox.booking_settings import booking_facts, change
from kalends_sandbox.faults import FaultRefused, Faults, Value
from kalends_sandbox.founding import Founded
from kalends_sandbox.http import Request, Response
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Post
from kalends_sandbox.signpost import read_signpost
from kalends_sandbox.truth import Json, instant
from kalends_sandbox.verbs import act
from kalends_sandbox.world import World
from kalends_sandbox.written import Table, Unreadable
from kalends_sandbox.zones import UTC_ZONE

MAX_RECORDED = 10_000


class Refused(Exception):
    """The request cannot be done as asked; the text says why. Answered with 400, or the status given."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Recorded(Protocol):
    def as_json(self) -> dict[str, object]: ...


class Recorder(Protocol):
    def keep(self, limit: int) -> None: ...
    def calls(self) -> list[Any]: ...


class Dialect(Protocol):
    """What the control API needs of a simulated system; exchange.Exchange is one."""

    @property
    def recorder(self) -> Recorder: ...
    def counters(self) -> dict[str, object]: ...
    def drop_subscriptions(self, mailboxes: str = "*") -> int: ...
    def limits(self) -> dict[str, object]: ...
    def turn(self, wanted: Mapping[str, Value]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reins:
    """Everything that can be directed."""

    founded: Founded
    faults: Faults
    dialect: Dialect

    @property
    def world(self) -> World:
        return self.founded.world

    @property
    def post(self) -> Post:
        return self.founded.post


@dataclass(frozen=True, slots=True)
class _Call:
    reins: Reins
    query: Mapping[str, list[str]]
    rest: str  # what follows the path's first part
    body: bytes

    def one(self, key: str) -> str | None:
        found = self.query.get(key, [])
        if len(found) > 1:
            raise Refused(f"{key} is given {len(found)} times: give it once.")
        return found[0] if found else None

    def said(self) -> object:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refused(f"The body is not JSON: {error}.") from error

    def table(self) -> Table:
        return Table(self.said(), "")


class Control:
    """The handler to serve. Only for the machine itself: requests that a web page sends are refused."""

    def __init__(self, reins: Reins) -> None:
        self._reins = reins

    async def handle(self, request: Request) -> Response:
        try:
            return _answer(200, self._result(request))
        except Refused as refused:
            return _answer(refused.status, {"error": str(refused)})
        except (Unreadable, ActionRefused, FaultRefused) as refused:
            return _answer(400, {"error": str(refused)})

    def _result(self, request: Request) -> Json:
        if request.headers.get("Origin") is not None:
            raise Refused(
                "A web page may not direct a sandbox: use its command line, or any client that is no browser.", 403
            )
        first, _, rest = request.path.strip("/").partition("/")
        offered = {method: do for (method, path), do in _ROUTES.items() if path == first}
        if not offered:
            raise Refused(
                f"There is no /{first} here; there are {', '.join(sorted({f'/{path}' for _, path in _ROUTES}))}.", 404
            )
        do = offered.get(request.method)
        if do is None:
            raise Refused(f"/{first} takes {' and '.join(sorted(offered))}, not {request.method}.", 405)
        return do(_Call(self._reins, parse_qs(request.query, keep_blank_values=True), rest, request.body))


def _health(call: _Call) -> Json:
    return {"ok": True, **_clock_facts(call)}


def _truth(call: _Call) -> Json:
    """Every mailbox; with `mailbox` (a pattern) the items of those that match, with `from` and `to` unfolded."""
    wanted, world = call.one("mailbox"), call.reins.world
    span = _span(call)
    facts: Json = {
        "now": instant(world.clock.now()),
        "domain": world.domain,
        "mails": dict(sorted(world.mails.items())),
    }
    if wanted is None:
        facts["mailboxes"] = [truth.mailbox_facts(mailbox) for mailbox in world.mailboxes]
        facts["room_lists"] = [
            {"name": found.name, "address": found.address, "rooms": found.rooms} for found in world.room_lists
        ]
        return facts
    found = [one for one in world.mailboxes if any(fnmatchcase(address, wanted.lower()) for address in one.addresses)]
    if not found:
        raise Refused(f"No mailbox matches {wanted}.")
    facts["mailboxes"] = [_contents(mailbox, span) for mailbox in found]
    return facts


def _contents(mailbox: Mailbox, span: tuple[datetime, datetime] | None) -> Json:
    facts = truth.mailbox_facts(mailbox)
    if mailbox.calendar is None:
        return facts
    items = sorted(mailbox.calendar.items.values(), key=lambda item: (item.start, item.item_id))
    facts["items"] = [truth.item_facts(item) for item in items]
    if span is not None:
        try:
            facts["occurrences"] = [truth.item_facts(item) for item in mailbox.calendar.view(*span)]
        except ValueError as error:
            raise Refused(str(error)) from error
    return facts


def _span(call: _Call) -> tuple[datetime, datetime] | None:
    said = {key: value for key in ("from", "to") if (value := call.one(key)) is not None}
    if not said:
        return None
    table = Table(said, "")
    since, until = table.instant("from", UTC_ZONE), table.instant("to", UTC_ZONE)
    if until < since:
        raise Refused("`to` is earlier than `from`: exchange them.")
    return since, until


def _counters(call: _Call) -> Json:
    reins = call.reins
    return {
        **reins.dialect.counters(),
        "mails": dict(sorted(reins.world.mails.items())),
        "mails_waiting": reins.post.waiting,
    }


def _act(call: _Call) -> Json:
    founded = call.reins.founded
    return {"item": truth.item_facts(act(founded.world, founded.actions, founded.rooms, call.said()))}


def _booking(call: _Call) -> Json:
    return booking_facts(call.reins.world, call.one("room") or "*")


def _change_booking(call: _Call) -> Json:
    return change(call.reins.world, call.reins.founded.attendant, call.table())


def _mails(call: _Call) -> Json:
    """The last mails that were sent, newest last; `to` is a pattern."""
    last, to = call.one("last") or "100", (call.one("to") or "*").lower()
    if not last.isdecimal() or not int(last):
        raise Refused(f"`last` is a number of mails from 1, not {last!r}.")
    found = [truth.mail_facts(at, mail) for at, mail in call.reins.post.log if fnmatchcase(mail.to.lower(), to)]
    return {"mails": found[-int(last) :]}


def _settle(call: _Call) -> Json:
    """Mail that is on its way arrives now, and rooms decide at once."""
    call.reins.post.settle()
    return {"mails_waiting": call.reins.post.waiting}


def _clock(call: _Call) -> Json:
    table, clock = call.table(), call.reins.world.clock
    factor = table.real("factor", clock.factor, 0, 1_000_000)
    at = table.instant("now", call.reins.world.zone) if "now" in table else None
    advance = timedelta(seconds=table.real("advance_s", 0.0))
    table.know("now")
    table.done()
    if at is not None and advance:
        raise Refused("`now` and `advance_s` both say where to go: give one.")
    try:
        if at is not None or advance:
            clock.set((at or clock.now()) + advance)
        if factor != clock.factor:
            clock.pace(factor)
    except (ValueError, OverflowError) as error:
        raise Refused(str(error)) from error
    return _clock_facts(call)


def _clock_facts(call: _Call) -> Json:
    clock = call.reins.world.clock
    return {"now": instant(clock.now()), "factor": clock.factor}


def _faults(call: _Call) -> Json:
    return {"faults": [fault.as_json() for fault in call.reins.faults.rules()]}


def _add_fault(call: _Call) -> Json:
    table = call.table()
    name, parameters = table.text("name"), table.plain("parameters")
    mailbox, operation = table.text("mailbox", "*"), table.text("operation", "*")
    rate, count = table.real("rate", 1.0), table.optional_number("count", 1)
    table.done()
    fault = call.reins.faults.add(
        name, mailbox=mailbox, operation=operation, rate=rate, count=count, parameters=parameters
    )
    return {"fault": fault.as_json()}


def _end_faults(call: _Call) -> Json:
    """One by its number, or all."""
    if not call.rest:
        call.reins.faults.clear()
    elif not call.rest.isdecimal() or not call.reins.faults.remove(int(call.rest)):
        raise Refused(f"There is no fault number {call.rest}: GET /faults lists them.")
    return _faults(call)


def _drop_subscriptions(call: _Call) -> Json:
    if call.rest != "drop":
        raise Refused("Subscriptions can be dropped: POST /subscriptions/drop.", 404)
    table = Table(call.said() if call.body else {}, "")
    mailbox = table.text("mailbox", "*")
    table.done()
    return {"dropped": call.reins.dialect.drop_subscriptions(mailbox)}


def _migrate(call: _Call) -> Json:
    """Mailboxes go to another server: new ids for all they hold, and their subscriptions are gone."""
    if call.rest != "migrate":
        raise Refused("Mailboxes can be migrated: POST /mailboxes/migrate.", 404)
    table = call.table()
    wanted = table.text("mailbox").lower()
    table.done()
    found = [one for one in call.reins.world.mailboxes if fnmatchcase(one.primary, wanted)]
    if not found:
        raise Refused(f"No mailbox matches {wanted}.")
    for mailbox in found:
        mailbox.migrate()
        call.reins.dialect.drop_subscriptions(mailbox.primary)
    return {"migrated": [mailbox.primary for mailbox in found]}


def _signpost(call: _Call) -> Json:
    return asdict(call.reins.world.signpost)


def _set_signpost(call: _Call) -> Json:
    """All of it at once: what is left out goes back to its default."""
    call.reins.world.signpost = read_signpost(call.table())
    return _signpost(call)


def _limits(call: _Call) -> Json:
    return {"limits": call.reins.dialect.limits()}


def _turn_limits(call: _Call) -> Json:
    """Each one named gets its new value; the others stay."""
    table = Table({"limits": call.said()}, "")
    try:
        call.reins.dialect.turn(table.plain("limits"))
    except ValueError as error:
        raise Refused(str(error)) from error
    return _limits(call)


def _requests(call: _Call) -> Json:
    recorded = call.reins.dialect.recorder.calls()
    last = call.one("last")
    if last is not None and not last.isdecimal():
        raise Refused(f"`last` is a number of requests, not {last!r}.")
    return {
        "requests": [
            one.as_json() for one in (recorded if last is None else recorded[-int(last) :] if int(last) else [])
        ]
    }


def _keep_requests(call: _Call) -> Json:
    table = call.table()
    limit = table.number("keep", None, 0, MAX_RECORDED)
    table.done()
    call.reins.dialect.recorder.keep(limit)
    return {"keep": limit}


_ROUTES: Mapping[tuple[str, str], Callable[[_Call], Json]] = {
    ("GET", "health"): _health,
    ("GET", "truth"): _truth,
    ("GET", "counters"): _counters,
    ("POST", "act"): _act,
    ("POST", "settle"): _settle,
    ("GET", "booking"): _booking,
    ("POST", "booking"): _change_booking,
    ("GET", "mails"): _mails,
    ("GET", "clock"): _clock_facts,
    ("POST", "clock"): _clock,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _end_faults,
    ("POST", "subscriptions"): _drop_subscriptions,
    ("POST", "mailboxes"): _migrate,
    ("GET", "autodiscover"): _signpost,
    ("POST", "autodiscover"): _set_signpost,
    ("GET", "limits"): _limits,
    ("POST", "limits"): _turn_limits,
    ("GET", "requests"): _requests,
    ("POST", "requests"): _keep_requests,
}


def _answer(status: int, facts: Json) -> Response:
    body = json.dumps(facts, ensure_ascii=False, default=list).encode() + b"\n"
    return Response(status, [("Content-Type", "application/json; charset=utf-8")], body)
