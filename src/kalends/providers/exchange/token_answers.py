"""What a token address answers to an application: a token and how long it holds, or why there is none. Pure.

Entra, AD FS and other servers phrase it alike (RFC 6749 §5). What they write for people is not passed on: it may hold names
and ids; Entra's AADSTS code in it is.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from kalends.providers.exchange import faults
from kalends.providers.exchange.auth import Refused
from kalends.providers.http import Answer
from kalends.providers.protocol import AuthLost, ProviderError, Throttled, Unavailable

_LONGEST = timedelta(days=1)
_UNSAID = timedelta(minutes=5)
"""How long a token is taken to hold when the answer doesn't say."""
_WORDS = re.compile(r"[\x21-\x7e]{1,32768}")
_REASONS = {
    "unauthorized_client": "the application may not ask for tokens of its own (client credentials)",
    "unsupported_grant_type": "it gives applications no tokens of their own (client credentials)",
    "invalid_scope": "the scope is refused",
    "invalid_resource": "the scope is refused",
    "invalid_target": "the scope is refused",
    "invalid_grant": "the sign-in is refused",
    "invalid_request": "the request is refused",
    "access_denied": "access is denied",
}
_ENTRA = {
    "7000112": "the application is disabled",
    "7000215": "the client secret is wrong (its value is needed, not its id)",
    "7000222": "the client secret has expired",
    "7000229": "nobody has consented to the application in this tenant",
    "700016": "the application is unknown in this tenant",
    "90002": "the tenant in the token address is unknown",
}
_PASSING = frozenset({"temporarily_unavailable", "server_error"})
_ENTRA_PASSING = frozenset({"90033", "50196"})
"""A passing trouble; too many of the same request."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    holds: timedelta
    """From when it was asked for."""


class _Given(msgspec.Struct):
    access_token: str
    expires_in: int | float | str | None = None
    token_type: str = "Bearer"  # noqa: S105  # a kind, no secret


class _NotGiven(msgspec.Struct):
    error: str
    error_description: str = ""


def read(answer: Answer, host: str) -> Token:
    """Raises Refused when the secret is, AuthLost for whatever else an admin must change, Throttled and Unavailable."""
    if answer.status != 200:
        raise _error(answer, host)
    try:
        given = msgspec.json.decode(answer.body, type=_Given)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{host} gave no readable token. Check that the token address is right.") from error
    if given.token_type.lower() != "bearer" or not _WORDS.fullmatch(given.access_token):
        raise Unavailable(
            f"{host} gave a token of a kind that Kalends can't use. Check that the token address is right."
        )
    return Token(given.access_token, _holds(given.expires_in))


def _holds(said: int | float | str | None) -> timedelta:
    """The older endpoints write the seconds as text."""
    if not re.fullmatch(r"-?\d{1,15}(\.\d*)?", str(said), re.ASCII):
        return _UNSAID
    return timedelta(seconds=min(max(float(str(said)), 0.0), _LONGEST.total_seconds()))


def _error(answer: Answer, host: str) -> ProviderError:
    if answer.status in (429, 503):
        return Throttled(faults.retry_after(answer), f"{host} asks for a pause before it gives out a token.")
    if answer.status >= 500:
        return Unavailable(
            f"{host} failed to give out a token (HTTP status {answer.status}). If this repeats, look there."
        )
    try:
        said = msgspec.json.decode(answer.body, type=_NotGiven)
    except msgspec.DecodeError:
        return Unavailable(
            f"{host} answered HTTP status {answer.status} instead of giving out a token. Check that the token address is "
            "right; it usually ends in /token."
        )
    return _refusal(said, host)


def _refusal(said: _NotGiven, host: str) -> ProviderError:
    found = re.search(r"AADSTS(\d{4,8})\b", said.error_description)
    code = found[1] if found else ""
    shown = said.error if re.fullmatch(r"[a-z_]{1,40}", said.error) else "an unreadable reason"
    shown = f"{shown}, AADSTS{code}" if code else shown
    if said.error in _PASSING or code in _ENTRA_PASSING:
        return Throttled(None, f"{host} can't give out a token at the moment ({shown}).")
    if said.error == "invalid_client":
        reason = _ENTRA.get(code, "the client id or the client secret is refused")
        return Refused(
            f"{host} gives the application no token: {reason} ({shown}). Give the account the right ones with "
            "kalends accounts credentials NAME; Kalends does not try again by itself."
        )
    reason = _ENTRA.get(code) or _REASONS.get(said.error, "it is refused")
    return AuthLost(
        f"{host} gives the application no token: {reason} ({shown}). Check the application there, and the account's "
        "token address, client id and scope."
    )
