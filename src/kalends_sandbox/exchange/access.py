"""Who calls, and in whose name: Basic credentials and the SOAP header's impersonation. Neighbours: door.py, world.py."""

import base64
import binascii

from kalends_sandbox.exchange.soap import Element, Fault, local, t, text_of, unreadable
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.world import ServiceAccount, World
from kalends_sandbox.zones import IANA_BY_WINDOWS, Zone, zone


def basic(world: World, encoded: str) -> ServiceAccount | None:
    """The account of Basic credentials (RFC 7617); None when they are unreadable or wrong."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    try:
        user, colon, password = raw.decode().partition(":")
    except UnicodeDecodeError:  # some clients still write Latin-1 (RFC 7617 appendix B.1)
        user, colon, password = raw.decode("latin-1").partition(":")
    account = world.account(user)
    return account if account is not None and colon and account.password == password else None


def acting_for(world: World, account: ServiceAccount, header: Element | None) -> tuple[Mailbox | None, bool]:
    """The mailbox in whose name the call is made and whether that is impersonation; faults as Exchange words them."""
    wish = header.find(f"{t('ExchangeImpersonation')}/{t('ConnectingSID')}") if header is not None else None
    if wish is None and account.is_application:
        raise Fault(
            "ErrorInvalidExchangeImpersonationHeaderData",
            "ExchangeImpersonation SOAP header must be present for this type of OAuth token.",
        )
    if wish is None:
        own = world.mailbox(account.mailbox) if account.mailbox else None
        return own, False
    if len(wish) != 1:
        raise unreadable("ConnectingSID names exactly one identity")
    mailbox = _identified(world, local(wish[0]), text_of(wish[0]))
    if not world.may_impersonate(account, mailbox):
        raise Fault(
            "ErrorImpersonateUserDenied", "The account does not have permission to impersonate the requested user."
        )
    return mailbox, True


def _identified(world: World, kind: str, value: str) -> Mailbox:
    if kind == "PrincipalName":
        mailbox = world.by_upn(value)
    elif kind == "SID":
        mailbox = world.by_sid(value)
    elif kind in ("PrimarySmtpAddress", "SmtpAddress"):
        mailbox = world.mailbox(value)
    else:
        raise unreadable(f"ConnectingSID has no element {kind}")
    if mailbox is None and kind == "SID":
        raise Fault("ErrorImpersonationFailed", "The security identifier belongs to no account.")
    if mailbox is None:
        raise Fault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
    if kind == "PrimarySmtpAddress" and value.lower() != mailbox.primary:
        raise Fault(
            "ErrorNonPrimarySmtpAddress",
            "The SMTP address is not the primary one of its mailbox.",
            {"Primary": mailbox.primary},
        )
    return mailbox


def context_zone(header: Element | None) -> Zone | None:
    """The zone of TimeZoneContext, by its Windows id; ids that Windows does not know are passed over."""
    found = header.find(f"{t('TimeZoneContext')}/{t('TimeZoneDefinition')}") if header is not None else None
    name = found.get("Id", "") if found is not None else ""
    return zone(name) if name in IANA_BY_WINDOWS else None
