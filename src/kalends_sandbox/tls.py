"""TLS for the sandbox's servers: a self-signed certificate made at start; a context for TLS 1.2 or newer, or for 1.0 only."""

import ipaddress
import os
import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clients judge a certificate by the real date, whatever the sandbox's own clock says: so its life is wide, and fixed.
_VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(2049, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Certificate:
    """`path` holds the certificate alone, for clients to trust or pin; `sha256` its fingerprint in hex (DER).

    `channel` is what its connections are bound to (RFC 5929, section 4): `tls-server-end-point:` and the certificate's hash.
    """

    path: Path
    sha256: str
    channel: bytes
    context: ssl.SSLContext


Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def self_signed(
    folder: Path,
    rng: Random,
    names: tuple[str, ...] = LOOPBACK,
    digest: Digest | None = None,
    is_antique: bool = False,
) -> Certificate:
    """Writes `sandbox-cert.pem` and `sandbox-key.pem` (mode 0600) into `folder`; the returned context serves them.

    `is_antique`: by TLS 1.0 and nothing newer, as servers do that were never looked after.
    """
    digest = digest or hashes.SHA256()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, rng, names, digest)
    cert_path, key_path = folder / "sandbox-cert.pem", folder / "sandbox-key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_private(key_path, key)
    context = _antique() if is_antique else _modern()
    context.load_cert_chain(cert_path, key_path)
    # The hash is the one of the certificate's signature; only for MD5 and SHA-1 it would be SHA-256 instead.
    channel = b"tls-server-end-point:" + certificate.fingerprint(digest)
    return Certificate(cert_path, certificate.fingerprint(hashes.SHA256()).hex(), channel, context)


def _modern() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _antique() -> ssl.SSLContext:
    """OpenSSL allows TLS 1.0 at security level 0 only, and Python warns of asking for it: both are meant here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


def _certificate(
    key: ec.EllipticCurvePrivateKey, rng: Random, names: tuple[str, ...], digest: Digest
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kalends sandbox")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(rng.getrandbits(128) | 1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, digest)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
