"""What may be kept of a conversation with a server: everything else is masked before anybody sees it. Pure.

Nothing is shown but what is known to be technical: a header, a form field or a JSON key that isn't listed here is masked.
Secrets become `(masked)`, other values tell how long they were. What a vendor's own documents hold is masked in its folder.
"""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

MASKED = "(masked)"
_LONGEST = 200
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "cache-control", "connection", "content-encoding", "content-length", "date"),
        *("content-type", "retry-after", "server", "transfer-encoding", "user-agent", "via", "x-anchormailbox"),
        *("x-backendhttpstatus", "x-calculatedbetarget", "x-diaginfo", "x-feserver", "x-beserver", "request-id"),
        *("x-preferserveraffinity", "x-powered-by", "x-aspnet-version", "x-ms-appid", "x-feproxyinfo"),
    }
)
_SCHEMES = frozenset({"basic", "bearer", "digest", "negotiate", "ntlm"})
_SCHEME = re.compile(r"(?:^|,\s*)([A-Za-z]{1,20})(?=\s|,|$)")
_CATEGORY = re.compile(r'error_category="([a-z_]{1,40})"')
_FORM = frozenset({"grant_type", "scope", "client_id", "resource"})
_JSON = frozenset(
    {
        *("token_type", "expires_in", "ext_expires_in", "error", "error_codes"),
        *("timestamp", "trace_id", "correlation_id"),
    }
)
_DIRECTORY_ERROR = re.compile(r"AADSTS[0-9]{1,8}")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def placeholder(text: str) -> str:
    """Stands for a private text; says no more than its length."""
    return "(masked 1 character)" if len(text) == 1 else f"(masked {len(text)} characters)"


def shown(text: str) -> str:
    """A technical value as it is, shortened if long; masked when it is not plain ASCII, as technical values are."""
    if not _PLAIN.fullmatch(text):
        return placeholder(text)
    return text if len(text) <= _LONGEST else f"{text[:24]}… ({len(text)} characters)"


def headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((_name(name), _header(name.lower(), value)) for name, value in pairs)


def _header(name: str, value: str) -> str:
    if name in _SECRET_HEADERS:
        return MASKED
    if name == "www-authenticate":
        return ", ".join(f"{each} {MASKED}" for each in _SCHEME.findall(value) if each.lower() in _SCHEMES) or MASKED
    if name == "x-ms-diagnostics":
        found = _CATEGORY.search(value)
        return f'{placeholder(value)} error_category="{found[1]}"' if found else placeholder(value)
    if name == "location":
        return address(value)
    return shown(value) if name in _HEADERS else placeholder(value)


def address(url: str) -> str:
    """Scheme, host and path; never what may hold a secret: user, query and fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return placeholder(url)
    more = f"?{MASKED}" if parts.query else ""
    return f"{shown(f'{parts.scheme}://{host}{port}{parts.path}')}{more}"


def form(body: bytes) -> tuple[str, str]:
    """A form's fields, one in a line, and what is to be said of it."""
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return "", f"{len(body)} bytes, which are no readable form"
    return "\n".join(f"{_name(name)}={shown(value) if name in _FORM else MASKED}" for name, value in fields), ""


def document(body: bytes) -> tuple[str, str]:
    """A JSON object's fields, one in a line, and what is to be said of it."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return "", f"{len(body)} bytes, which are no readable JSON"
    if not isinstance(fields, dict):
        return "", f"{len(body)} bytes of JSON, which are no object"
    return "\n".join(f"{_name(str(name))}: {_field(str(name), value)}" for name, value in fields.items()), ""


def _field(name: str, value: object) -> str:
    if name == "error_description" and isinstance(value, str):
        found = _DIRECTORY_ERROR.search(value)
        return f"{placeholder(value)} {found[0]}" if found else placeholder(value)
    if name not in _JSON:
        return MASKED
    if isinstance(value, list):
        return ", ".join(str(each) for each in value[:16] if isinstance(each, int))
    return shown(str(value)) if isinstance(value, str | int) else MASKED


def _name(name: str) -> str:
    return name if _NAME.fullmatch(name) else MASKED
