"""Which servers an account trusts, and what to say when one is not trusted. Used by `http.py` only.

A pinned certificate is checked inside the handshake, before a single byte of a request (and so of a password) is sent.
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from typing import Any

import truststore
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

_PROBE_SECONDS = 10.0
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})
_EXPIRED, _NOT_YET_VALID, _HOST_MISMATCH, _ADDRESS_MISMATCH = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_…


@dataclass(frozen=True, slots=True)
class Trust:
    """The system's certificate authorities, or one private authority, or exactly one certificate."""

    authority_pem: str | None = None
    fingerprint: str | None = None
    """SHA-256 of the server's certificate: 64 hex digits, colons and case ignored. Replaces chain and host name."""
    beside_system: bool = False
    """The private authority is trusted together with the system's, not instead of them."""

    unverified: str | None = None
    """The one host whose certificate is not checked at all: the last resort, after an admin typed its name."""

    def __post_init__(self) -> None:
        if self.unverified is not None and (self.authority_pem is not None or self.fingerprint is not None):
            raise ValueError(
                "A certificate is given to trust and its check is switched off as well: give only one of them."
            )
        if self.authority_pem is not None and self.fingerprint is not None:
            raise ValueError(
                "Both a private certificate authority and a pinned certificate are set: give only one of them."
            )
        if self.fingerprint is not None and not re.fullmatch(r"[0-9a-f]{64}", _plain(self.fingerprint)):
            raise ValueError(
                "The pinned fingerprint is not a SHA-256: give 64 hex digits, as "
                "`openssl x509 -noout -fingerprint -sha256` prints them."
            )
        if self.authority_pem is not None:
            self.context()

    def elsewhere(self) -> "Trust":
        """For another server that the same account needs: a pin says nothing about it, a private authority may."""
        return Trust(self.authority_pem, beside_system=True)

    def context(self) -> ssl.SSLContext:
        """A client context for this trust; TLS 1.2 or newer."""
        if self.fingerprint is not None:
            return _pinned(_plain(self.fingerprint))
        if self.unverified is not None:
            return _unverified(self.unverified)
        if self.authority_pem is None or self.beside_system:
            context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authority_pem is not None:
            try:
                context.load_verify_locations(cadata=self.authority_pem)
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(
                    "The private certificate authority is not a readable PEM certificate: "
                    "paste the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
                ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class WrongCertificate(ssl.SSLError):
    """The server showed another certificate than the pinned one."""

    shown = ""
    """SHA-256 of the certificate that was shown."""


class OtherHost(ssl.SSLError):
    """Verification was switched off for another host than this one."""

    allowed = ""


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()


def _pinned(fingerprint: str) -> ssl.SSLContext:
    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = _fingerprint(self.getpeercert(binary_form=True) or b"")
            if shown != fingerprint:
                error = WrongCertificate("the certificate is not the pinned one")
                error.shown = shown
                raise error

    return _judged_by(Pinned)  # the fingerprint is stronger than any chain, and is checked in the handshake


def _unverified(host: str) -> ssl.SSLContext:
    class Unverified(ssl.SSLObject):
        def do_handshake(self) -> None:
            if (self.server_hostname or "").lower() != host.lower():
                error = OtherHost("verification is off for another host")
                error.allowed = host
                raise error
            super().do_handshake()

    return _judged_by(Unverified)


def _judged_by(judge: type[ssl.SSLObject]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = judge
    return context


def _fingerprint(der: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


def end_point(certificate: bytes) -> bytes:
    """What binds a sign-in to the TLS connection on which this certificate (DER) was shown: tls-server-end-point.

    RFC 5929 §4.1: the hash that the certificate's signature uses, but SHA-256 in place of MD5 and SHA-1. Signatures
    without a hash of their own (Ed25519), or with one that nobody knows, are left undefined there; SHA-256 it is here.
    """
    try:
        signed = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        signed = None
    if signed is None or signed.name in ("md5", "sha1"):
        signed = hashes.SHA256()
    digest = hashes.Hash(signed)
    digest.update(certificate)
    return b"tls-server-end-point:" + digest.finalize()


async def explain(error: ssl.SSLError, host: str, port: int) -> str:
    """A sentence for a failed handshake: what is wrong with the certificate and what the admin can do."""
    if isinstance(error, WrongCertificate):
        return (
            f"{host} shows another certificate than the pinned one (its SHA-256 is {error.shown}). If it was renewed, "
            "compare it on the server and pin the new one; if not, somebody is in between."
        )
    if isinstance(error, OtherHost):
        return (
            f"The certificate of {host} is not checked, since that was switched off for {error.allowed} alone, and "
            f"nothing was sent. Pin the certificate of {host}, or kalends accounts trust NAME --verified."
        )
    if not isinstance(error, ssl.SSLCertVerificationError):
        if error.reason in _TOO_OLD:
            return (
                f"{host} speaks only TLS 1.1 or older. Kalends needs TLS 1.2 or newer: switch it on on the server, as "
                "Microsoft's TLS guidance for Exchange Server says."
            )
        reason = (error.reason or "handshake failed").replace("_", " ").lower()
        return (
            f"No TLS connection to {host}: {reason}. Kalends needs TLS 1.2 or newer; "
            "check the server's protocols and that the port speaks https."
        )
    certificate = await _presented(host, port)
    return _refusal(error.verify_code, host, certificate)


def _refusal(code: int, host: str, certificate: x509.Certificate | None) -> str:
    if code in (_HOST_MISMATCH, _ADDRESS_MISMATCH):
        names = f" (it is for {_names(certificate)})" if certificate else ""
        return (
            f"The certificate of {host} is for another host name{names}. Use a name that it contains in the address, "
            "or pin the certificate's SHA-256 fingerprint."
        )
    if code == _EXPIRED:
        day = f" on {certificate.not_valid_after_utc:%Y-%m-%d}" if certificate else ""
        return f"The certificate of {host} expired{day}. Renew it on the server."
    if code == _NOT_YET_VALID:
        return f"The certificate of {host} is not valid yet. Check the clocks of both machines."
    if certificate is None:
        return f"The certificate of {host} is not trusted. Add its certificate authority (PEM) or pin its fingerprint."
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return (
        f"The certificate of {host} is not trusted: issued by “{_one_line(certificate.issuer.rfc4514_string())}”, "
        f"SHA-256 {fingerprint}. Add that certificate authority to the account (PEM), or compare the fingerprint "
        "on the server and pin it."
    )


def _names(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name) for name in found.get_values_for_type(x509.DNSName)]
        names += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    except (x509.ExtensionNotFound, ValueError):
        names = [certificate.subject.rfc4514_string()]
    return _one_line(", ".join(names[:5]))


def _one_line(text: str) -> str:
    """What a stranger's certificate says, fit for a log line."""
    return "".join(char for char in text[:200] if char.isprintable())


async def _presented(host: str, port: int) -> x509.Certificate | None:
    """The certificate that the server shows. A second handshake without any request, since a failed one keeps none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                shown: Any = writer.get_extra_info("ssl_object")
                return x509.load_der_x509_certificate(shown.getpeercert(binary_form=True))
            finally:
                writer.transport.abort()
    return None
