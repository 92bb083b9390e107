"""What Exchange's refusals mean: HTTP statuses, SOAP faults and response codes → the situations of `protocol`. Pure.

A code stands in exactly one row of the tables below. What stands in none is `Rejected` when Exchange blames the request,
which is everything it doesn't call an internal error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from kalends.model.event import CalendarId
from kalends.providers.exchange.soap import E, Element, M, S, T
from kalends.providers.http import Answer
from kalends.providers.protocol import (
    AuthLost,
    CalendarGone,
    CursorExpired,
    NotAllowed,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
)

_CODE, _DETAILS = f"{M}ResponseCode", f"{M}MessageXml"
_LONGEST_WAIT = timedelta(hours=1)

_BUSY = {
    "ErrorServerBusy": "Exchange is busy and asked for a pause.",
}
_BUSY_CALENDAR = {
    "ErrorTooManyObjectsOpened": "Exchange has too many objects open for this mailbox.",
    "ErrorInternalServerTransientError": "Exchange reports a passing internal error.",
    "ErrorMailboxMoveInProgress": "The mailbox is being moved to another database; Kalends waits for the move to end.",
    "ErrorMailboxFailover": "The mailbox is failing over to another server.",
    "ErrorMailboxStoreUnavailable": "The mailbox database is not available; check whether it is mounted.",
    "ErrorConnectionFailed": "Exchange could not reach the mailbox server.",
    "ErrorMailboxLogonFailed": "Exchange could not open the mailbox database for this mailbox.",
    "ErrorProxiedSubscriptionCallFailure": "Exchange could not reach the server that keeps a subscription.",
    "ErrorADUnavailable": "Exchange can't reach Active Directory.",
    "ErrorADOperation": "Exchange failed to read Active Directory.",
    "ErrorTimeoutExpired": "Exchange gave up on the request after its own time limit.",
    "ErrorBatchProcessingStopped": "Exchange stopped in the middle of a batch.",
    "ErrorQuotaExceeded": "The mailbox is over its quota.",
}
_NO_RIGHT = ["ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed"]
_NO_MAILBOX = [
    "ErrorNonExistentMailbox",
    "ErrorMissingEmailAddress",
    "ErrorInvalidSmtpAddress",
    "ErrorMailRecipientNotFound",
]
_NO_CALENDAR = ["ErrorFolderNotFound", "ErrorSyncFolderNotFound", "ErrorItemNotFound"]
_SIGN_IN = {
    "ErrorAccountDisabled": "The service account is disabled in Active Directory: enable it.",
    "ErrorPasswordExpired": "The service account's password has expired: set a new one, and enter it here.",
    "ErrorPasswordChangeRequired": "The service account must change its password: do so, and enter the new one here.",
    "ErrorTokenSerializationDenied": "The service account may not act for others: give it ApplicationImpersonation.",
}
_STATE_LOST = ["ErrorInvalidSyncStateData"]
_BROKEN = ["ErrorInternalServerError", "ErrorCorruptData", "ErrorContentConversionFailed"]

_OTHER_VERSION = [
    "ErrorInvalidServerVersion",
    "ErrorIncorrectSchemaVersion",
    "ErrorInvalidSchemaVersionForMailboxVersion",
]

_ONLINE = re.compile(
    r"(^|\.)(office365\.(com|us)|outlook\.com|office\.com|partner\.outlook\.cn|apps\.mil)\Z", re.IGNORECASE
)
"""Where Exchange Online answers, in all of Microsoft's clouds."""
_BLOCKED = (
    "Exchange Online blocks EWS since 2026-10-01, organisation by organisation, and ends it for everybody on 2027-04-01"
)


class Broken(Unavailable):
    """Exchange failed inside on this request; another request may well succeed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One response message: what became of one thing that was asked."""

    code: str
    content: Element
    back_off: timedelta | None = None

    @property
    def ok(self) -> bool:
        """Warnings carry their content and count as success."""
        return self.code == "NoError" or self.content.get("ResponseClass") in ("Success", "Warning")


def messages(response: Element) -> Iterator[Message]:
    """The messages of a response, in the order asked."""
    inside = response.find(f"{M}ResponseMessages")
    for each in inside if inside is not None else [response]:  # GetRoomLists and GetRooms have none inside
        if isinstance(each.tag, str):
            parts = {part.tag: part for part in each}
            yield Message(_inner_code(parts.get(_CODE), each), each, _back_off(parts.get(_DETAILS)))


def only(response: Element, calendar: CalendarId | None) -> Element:
    """The content of a response's single message, or the error that it is."""
    message = next(messages(response), None)
    if message is None:
        raise Unavailable("Exchange answered without a response message. If this repeats, look at its log.")
    if not message.ok:
        raise error_of(message, calendar)
    return message.content


def _inner_code(named: Element | None, message: Element) -> str:
    """ErrorInternalServerError often only wraps the real code."""
    code = "" if named is None else (named.text or "").strip()
    if code == "ErrorInternalServerError":
        for value in message.iter(f"{T}Value"):
            if value.get("Name") == "InnerErrorResponseCode" and value.text:
                return value.text.strip()
    return code


def _back_off(inside: Element | None) -> timedelta | None:
    for value in inside.iter(f"{T}Value") if inside is not None else ():
        if value.get("Name") == "BackOffMilliseconds" and (value.text or "").strip().isdigit():
            return min(timedelta(milliseconds=int((value.text or "").strip()[:9])), _LONGEST_WAIT)
    return None


def fault(answer: Element) -> Message | None:
    """The SOAP fault that an answer is, if it is one."""
    if answer.tag != f"{S}Fault":
        return None
    detail = answer.find("detail")
    code = "" if detail is None else (detail.findtext(f"{E}ResponseCode") or "").strip()
    if not code:
        code = (answer.findtext("faultcode") or "").rpartition(":")[2].strip()
    back_off = None if detail is None else _back_off(detail.find(f"{T}MessageXml"))
    if code == "ErrorInternalServerError" and detail is not None:
        for value in detail.iter(f"{T}Value"):
            if value.get("Name") == "InnerErrorResponseCode" and value.text:
                code = value.text.strip()
    return Message(code, answer, back_off)


def error_of(message: Message, calendar: CalendarId | None) -> ProviderError:
    """The situation that a code stands for, in a sentence."""
    code = message.code if message.code.isalnum() or not message.code else "an unreadable code"
    whose = calendar or "the service account"
    if code in _BUSY:
        return Throttled(message.back_off, _BUSY[code])
    if code in _BUSY_CALENDAR:
        return Throttled(message.back_off, _BUSY_CALENDAR[code], whole_account=False)
    if code in _STATE_LOST:
        return CursorExpired(f"Exchange no longer knows how far {whose} was read; Kalends reads it again.")
    if code in _SIGN_IN:
        return AuthLost(_SIGN_IN[code])
    return _about_calendar(code, whose) or _about_request(code, whose)


def _about_calendar(code: str, whose: str) -> ProviderError | None:
    if code in _NO_RIGHT:
        return NotAllowed(
            f"The service account may not act as {whose} ({code}). Give it the role ApplicationImpersonation "
            "with a management scope that includes this mailbox: kalends accounts rights prints how."
        )
    if code in _NO_MAILBOX:
        return CalendarGone(
            f"{whose} has no mailbox on this Exchange server. Check the address, or unlink the calendar."
        )
    if code in _NO_CALENDAR:
        return CalendarGone(f"The mailbox {whose} has no calendar that can be opened ({code}).")
    if code == "ErrorAccessDenied":
        return NotAllowed(
            f"The service account may not open the calendar of {whose}. Give it the right to read it: "
            "kalends accounts rights prints how."
        )
    if code == "ErrorSubscriptionDelegateAccessNotSupported":
        return Rejected(
            f"Exchange lets no delegate listen to {whose}; it is polled instead. "
            "To listen, give the service account ApplicationImpersonation."
        )
    return None


def _about_request(code: str, whose: str) -> ProviderError:
    if code == "ErrorExceededConnectionCount":
        return Throttled(
            timedelta(minutes=5),
            "Exchange allows no further streaming connection to this account; its calendars are polled meanwhile. "
            "Raise HangingConnectionLimit on the server, or put more calendars on each connection.",
            whole_account=False,
        )
    if code == "ErrorExceededSubscriptionCount":
        return Rejected(
            f"Exchange allows no further subscription to {whose}; it is polled instead. "
            "Raise EWSMaxSubscriptions in the throttling policy, or end other programs that listen to it."
        )
    if code in _OTHER_VERSION:
        return Rejected(
            f"This Exchange Server does not know the schema that Kalends asks for ({code}). If a version is pinned for the "
            "account, it is newer than the server, or than one of the servers behind its address: pin the oldest of them, "
            "or none. Servers older than 2013 can't be used."
        )
    if code in _BROKEN or not code:
        return Broken(f"Exchange failed inside ({code or 'no code'}) for {whose}. If this repeats, look at its log.")
    return Rejected(f"Exchange refused a request for {whose}: {code}.")


def status_error(answer: Answer, host: str) -> ProviderError | None:
    """What an HTTP status other than success says. 500 is left to the fault in its body, 401 to `auth`."""
    if answer.status in (200, 500):
        return _web_page(answer, host)
    if answer.status == 403:
        return _forbidden(answer, host)
    if answer.status in (429, 503):
        return Throttled(retry_after(answer), f"{host} is overloaded and asked for a pause ({answer.status}).")
    if answer.status in (404, 405):
        return Unavailable(
            f"{host} has no EWS at this address ({answer.status}). It usually ends in /EWS/Exchange.asmx."
        )
    return Unavailable(f"{host} answered with HTTP status {answer.status}. If this repeats, look at proxies before it.")


def _forbidden(answer: Answer, host: str) -> AuthLost:
    """Exchange Online blocks EWS without a word; it is known by its name, or by that of the server that answered."""
    if any(_ONLINE.search(name) for name in (host, answer.headers.get("X-CalculatedBETarget") or "")):
        return AuthLost(
            f"{host} has EWS switched off (403): {_BLOCKED}. Connect Microsoft 365 by Graph instead; until then an "
            "administrator may let this application in (Set-OrganizationConfig -EwsEnabled $true -EwsAllowedAppIDs …)."
        )
    return AuthLost(
        f"{host} forbids EWS to the service account (403). Check that EWS is enabled for it (Get-CASMailbox) and that "
        f"no EwsApplicationAccessPolicy blocks Kalends. If this is Exchange Online under another name: {_BLOCKED}; "
        "connect Microsoft 365 by Graph."
    )


def _web_page(answer: Answer, host: str) -> ProviderError | None:
    kind = (answer.headers.get("content-type") or "").lower()
    if "html" in kind or answer.body[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return Unavailable(
            f"{host} answered with a web page instead of EWS, perhaps a sign-in form. Check that the address ends in "
            "/EWS/Exchange.asmx and that no sign-in proxy stands before it."
        )
    return None


def retry_after(answer: Answer) -> timedelta | None:
    """How long the server asks to wait: seconds, or a date read against the server's own clock."""
    value = (answer.headers.get("retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), _LONGEST_WAIT)
    until, now = _http_date(value), _http_date(answer.headers.get("date") or "")
    if until is None or now is None:
        return None
    return min(max(until - now, timedelta(0)), _LONGEST_WAIT)


def _http_date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
