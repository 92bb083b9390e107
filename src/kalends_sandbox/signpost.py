"""What Autodiscover tells: the addresses of the organisation's servers, and who is sent elsewhere.

It belongs to the world, because moving to another address is something that happens to an organisation. World files and the
control API write it alike; exchange/autodiscover.py reads it.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, cast, get_args

from kalends_sandbox.written import Table

# How somebody is sent on: by HTTP status 302, by an answer that names another URL, or by one that names another address.
RedirectKind = Literal["http", "url", "address"]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`host` (a pattern of host names asked) and `mailbox` (a pattern of addresses asked about) say whom it concerns.

    An address as target may begin with @: the same name in another domain. A 302 normally goes out before anybody signs in
    (IIS redirects a whole site), or else `after_sign_in` (a proxy in front that has signed the caller in).
    """

    kind: RedirectKind
    target: str
    host: str = "*"
    mailbox: str = "*"
    after_sign_in: bool = False

    def aim(self, address: str) -> str:
        return address.rpartition("@")[0] + self.target if self.target.startswith("@") else self.target


@dataclass(frozen=True, slots=True)
class Signpost:
    """URLs left empty are those of the server that was asked, under the name it was asked by."""

    external_url: str = ""
    internal_url: str = ""
    grouping: str = "Default-First-Site-Name"
    redirects: tuple[Redirect, ...] = ()

    def elsewhere(self, kinds: tuple[RedirectKind, ...], host: str, address: str = "") -> Redirect | None:
        """The first redirect of these kinds for somebody who asks `host` (with or without port) about `address`."""
        name, address = host.lower().rpartition(":")[0] or host.lower(), address.lower()
        for one in self.redirects:
            here = fnmatchcase(name, one.host.lower()) or fnmatchcase(host.lower(), one.host.lower())
            if one.kind in kinds and here and fnmatchcase(address, one.mailbox.lower()):
                return one
        return None


def read_signpost(table: Table) -> Signpost:
    standard = Signpost()
    found = Signpost(
        _url(table, "external_url"),
        _url(table, "internal_url"),
        table.text("grouping", standard.grouping),
        tuple(_redirect(one) for one in table.tables("redirects")),
    )
    table.done()
    return found


def _redirect(table: Table) -> Redirect:
    kind = cast(RedirectKind, table.choice("kind", get_args(RedirectKind)))
    target = table.text("target")
    found = Redirect(
        kind, target, table.text("host", "*"), table.text("mailbox", "*"), table.flag("after_sign_in", False)
    )
    if kind == "address" and target.count("@") != 1:
        raise table.refuse(
            "target", f"{target!r} is no address; write it like name@domain, or @domain to keep the name."
        )
    if kind == "http" and "mailbox" in table:
        raise table.refuse("mailbox", "a 302 goes out before anybody says which mailbox is meant; choose by `host`.")
    table.done()
    return found


def _url(table: Table, key: str) -> str:
    found = table.text(key, "")
    if found and not found.startswith(("http://", "https://")):
        raise table.refuse(key, f"{found!r} is no URL; write it like https://mail.example/EWS/Exchange.asmx.")
    return found
