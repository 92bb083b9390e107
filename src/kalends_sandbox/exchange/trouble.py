"""Faults in Exchange's own words, and those of any HTTP server passed on. Neighbours: faults.py decides when they strike."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from kalends_sandbox import faults
from kalends_sandbox.exchange import soap
from kalends_sandbox.exchange.budgets import BUSY
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.faults import Fault
from kalends_sandbox.http import Response

INSTEAD: Final = (*faults.INSTEAD, "server_busy", "http_401", "ews_blocked", "huge_answer")  # the door answers http_401
AFTERWARDS: Final = faults.AFTERWARDS

_XML: Final = ("Content-Type", "text/xml; charset=utf-8")
_PIECE: Final = b"x" * 65_536


def refused(fault: soap.Fault) -> Response:
    return Response(500, [_XML], soap.fault_envelope(fault))


def too_many_at_once(settings: Settings) -> Response:
    """More plain calls at a time than the caller may make: Exchange's own fault, or what a busy web server in front says."""
    if settings.concurrency_answer == "503":
        return Response(
            503, [("Content-Type", "text/html")], b"<html><body>The service is unavailable.</body></html>\n"
        )
    if settings.concurrency_answer == "busy":
        return refused(soap.Fault("ErrorServerBusy", BUSY))
    return refused(soap.too_many_connections())


def instead(fault: Fault, call: Call, site: Site) -> Response:
    """The answer in place of the real one, for the kinds in INSTEAD."""
    if fault.name == "ews_blocked":
        node = site.nodes.route(call.request.headers, call.account.user).name
        return Response(403, [("X-CalculatedBETarget", node), ("X-BackEndHttpStatus", "403")])
    if fault.name == "server_busy":
        return _busy(fault, call, site)
    if fault.name == "huge_answer":
        return Response(200, [_XML], _huge(int(fault.number_of("size_bytes")), call, site))
    return faults.instead(fault)


async def afterwards(fault: Fault, response: Response) -> None:
    """Spoils the real answer, for the kinds in AFTERWARDS; a slow one is waited for here, so that it counts as running."""
    if fault.name == "slow":
        try:
            await asyncio.sleep(fault.number_of("delay_s"))
        except asyncio.CancelledError:
            response.over()
            raise
    faults.afterwards(fault, response)


def _busy(fault: Fault, call: Call, site: Site) -> Response:
    back_off_ms = int(fault.number_of("back_off_ms"))
    values = {"BackOffMilliseconds": str(back_off_ms)} if back_off_ms else {}
    if fault.text_of("form") == "fault":
        return Response(500, [_XML], soap.fault_envelope(soap.Fault("ErrorServerBusy", BUSY, values)))
    refusal = soap.Refusal("ErrorServerBusy", BUSY, values)
    if fault.text_of("form") == "inner":
        inner = {"InnerErrorMessageText": BUSY, "InnerErrorResponseCode": "ErrorServerBusy"}
        refusal = soap.Refusal("ErrorInternalServerError", "An internal server error occurred.", {**inner, **values})
    content = soap.answer(call.operation, [soap.failure(call.operation, refusal)])
    return Response(200, [_XML], soap.envelope(content, site.settings.build))


async def _huge(size_bytes: int, call: Call, site: Site) -> AsyncGenerator[bytes, None]:
    """A well-formed answer of about this many bytes, nearly all of it one long text."""
    whole = soap.envelope(soap.answer(call.operation, [soap.success(call.operation, "<!--|-->")]), site.settings.build)
    head, _, tail = whole.partition(b"|")
    yield head
    left = size_bytes - len(head) - len(tail)
    while left > 0:
        yield _PIECE[:left]
        left -= len(_PIECE)
    yield tail
