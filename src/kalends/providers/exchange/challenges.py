"""What a server says in `WWW-Authenticate`: the ways to sign in that it offers. Pure. Used by `auth`, `ntlm` and `oauth`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PIECE = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_PARAMETER = re.compile(r'([\w!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s"]*))\Z')
_SCHEME = re.compile(r"([\w!#$%&'*+.^`|~-]+)(?:\s+(.*))?\Z", re.DOTALL)
_MOST = 64
_WORDS = {"ntlm": "NTLM", "negotiate": "Negotiate", "basic": "Basic", "bearer": "OAuth", "digest": "Digest"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way that is offered: `Basic realm="x"`, `NTLM TlRMTVNTUAAC…`, `Bearer error="invalid_token"`."""

    scheme: str
    """Lower case."""
    token: str
    """What NTLM and Negotiate say; empty in a mere offer."""
    parameters: dict[str, str]


def read(lines: Sequence[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate lines (RFC 9110 §11.6.1): several may share a line."""
    found: list[Challenge] = []
    for piece in [piece.strip() for line in lines for piece in _PIECE.findall(line)][:_MOST]:
        parameter = _PARAMETER.match(piece)
        if parameter is not None:
            if found:
                found[-1].parameters[parameter[1].lower()] = _value(parameter)
            continue
        scheme = _SCHEME.match(piece)
        if scheme is None:
            continue
        rest = (scheme[2] or "").strip()
        first = _PARAMETER.match(rest)
        found.append(
            Challenge(scheme[1].lower(), "", {first[1].lower(): _value(first)})
            if first is not None and not _is_token(rest)
            else Challenge(scheme[1].lower(), rest, {})
        )
    return found


def named(offered: Sequence[Challenge]) -> str:
    """For a sentence: “NTLM, Negotiate and Basic”."""
    names = sorted({_WORDS.get(each.scheme, "another way") for each in offered})
    if not names:
        return "nothing"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _value(parameter: re.Match[str]) -> str:
    quoted: str | None = parameter[2]
    return re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else str(parameter[3])


def _is_token(rest: str) -> bool:
    """Base 64 ends in `=`, and so looks like a parameter without a value."""
    return re.fullmatch(r"[A-Za-z0-9+/]+={1,2}", rest) is not None
