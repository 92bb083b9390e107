"""The server's side of NTLM (MS-NLMP): a challenge, and the proof that the client knows the password and this TLS channel.

The messages and the cryptography are pyspnego's. Its own acceptor is not used: it takes passwords only from the file that an
environment variable names, reads the machine's clock and draws from the system, while here several worlds live in one
process under a clock and a generator of their own; and it lets a channel binding of zeros pass, which Exchange does not when
it requires one. Neighbours: door.py keeps the handshake with its connection.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from spnego._ntlm_raw.crypto import hmac_md5, md5, ntowfv1, ntowfv2, rc4k
from spnego._ntlm_raw.messages import (
    Authenticate,
    AvFlags,
    AvId,
    Challenge,
    FileTime,
    Negotiate,
    NegotiateFlags,
    NTClientChallengeV2,
    TargetInfo,
    Version,
)
from spnego.channel_bindings import GssChannelBindings

from kalends_sandbox.world import ServiceAccount

# What IIS does about channel bindings (tokenChecking): nothing; what comes must be right; it must come and be right.
Protection = Literal["none", "allow", "require"]

_OEM: Final = "cp437"  # of names where the client writes no Unicode (MS-NLMP 2.2.2.5); some clients never do
SIGNATURE: Final = b"NTLMSSP\x00"
_NTLM_V1_BYTES: Final = 24
_PROOF_BYTES: Final = 16
_NO_BINDING: Final = bytes(16)  # what Windows sends where there is no channel
_ALWAYS: Final = (
    NegotiateFlags.request_target
    | NegotiateFlags.ntlm
    | NegotiateFlags.always_sign
    | NegotiateFlags.target_info
    | NegotiateFlags.target_type_domain
)
# Of what the client wishes, only what this server has too.
_GRANTED: Final = (
    NegotiateFlags.sign
    | NegotiateFlags.seal
    | NegotiateFlags.extended_session_security
    | NegotiateFlags.key_128
    | NegotiateFlags.key_56
    | NegotiateFlags.key_exch
)


class Refused(Exception):
    """The handshake failed, and the text says where. Clients never see it: for them every refusal is the same 401."""


@dataclass(frozen=True, slots=True)
class Server:
    """How the server names itself in its challenges."""

    netbios_domain: str
    dns_domain: str
    computer: str = "MBX01"


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first two messages as they went over the wire; the third one is judged by them."""

    negotiate: bytes
    challenge: bytes
    nonce: bytes


def opens(token: bytes) -> bool:
    """Whether this is a client's first message; it may come at any time and begins everything anew."""
    return _kind(token) == 1


def begun(token: bytes, server: Server, nonce: bytes, now: datetime) -> Handshake:
    """The challenge that answers a NEGOTIATE_MESSAGE; `nonce` is its eight random bytes."""
    if not opens(token) or len(token) < Negotiate.MINIMUM_LENGTH:
        raise Refused("This is no NEGOTIATE_MESSAGE.")
    wished = Negotiate.unpack(token).flags
    if not wished & (NegotiateFlags.unicode | NegotiateFlags.oem):
        raise Refused("The client writes neither Unicode nor the OEM code page.")
    text = NegotiateFlags.unicode if wished & NegotiateFlags.unicode else NegotiateFlags.oem
    target = TargetInfo()
    target[AvId.nb_domain_name] = server.netbios_domain
    target[AvId.nb_computer_name] = server.computer
    target[AvId.dns_domain_name] = server.dns_domain
    target[AvId.dns_computer_name] = f"{server.computer.lower()}.{server.dns_domain}"
    target[AvId.timestamp] = FileTime.from_datetime(now)
    windows_2022 = Version(10, 0, 20348)
    challenge = Challenge(
        _ALWAYS | text | (wished & _GRANTED), nonce, server.netbios_domain, target, version=windows_2022, encoding=_OEM
    ).pack()
    return Handshake(token, challenge, nonce)


def proved(
    token: bytes,
    handshake: Handshake,
    account_of: Callable[[str], ServiceAccount | None],
    channel: bytes | None,
    protection: Protection,
) -> ServiceAccount:
    """Whoever proved, by an AUTHENTICATE_MESSAGE, to know the account's password. Refused when anything does not fit.

    `channel` is the application data of the connection's own binding (`tls-server-end-point:…`), None without TLS.
    """
    said, response, pairs = _read(token)
    user, domain = said.user_name or "", said.domain_name or ""
    account = account_of(f"{domain}\\{user}" if domain else user)
    if account is None:
        raise Refused("No account has this name.")
    # NTLMv2 (MS-NLMP 3.3.2): the proof covers the nonce, the client's own and everything in `pairs`.
    key = ntowfv2(user, ntowfv1(account.password), domain)
    proof = hmac_md5(key, handshake.nonce + response[_PROOF_BYTES:])
    if not hmac.compare_digest(proof, response[:_PROOF_BYTES]):
        raise Refused("The password is wrong, or the response belongs to another challenge.")
    if pairs.get(AvId.flags, 0) & AvFlags.mic:
        _check_integrity(said, handshake, hmac_md5(key, proof))
    _check_binding(pairs.get(AvId.channel_bindings, _NO_BINDING), channel, protection)
    return account


def _kind(token: bytes) -> int:
    """1 for NEGOTIATE, 2 for CHALLENGE, 3 for AUTHENTICATE; 0 for anything else."""
    return int.from_bytes(token[8:12], "little") if token.startswith(SIGNATURE) else 0


def _read(token: bytes) -> tuple[Authenticate, bytes, TargetInfo]:
    """The message, its NTLMv2 response and the pairs that the response carries."""
    if _kind(token) != 3:
        raise Refused("This is no AUTHENTICATE_MESSAGE.")
    try:
        said = Authenticate.unpack(token, encoding=_OEM)
        response = said.nt_challenge_response or b""
        if len(response) <= _NTLM_V1_BYTES:
            raise Refused("The response is anonymous or NTLM version 1, which this server does not take.")
        return said, response, NTClientChallengeV2.unpack(response[_PROOF_BYTES:]).av_pairs
    except (ValueError, OverflowError, struct.error) as error:  # all that a garbled message brings about in the library
        raise Refused("The AUTHENTICATE_MESSAGE cannot be read.") from error


def _check_integrity(said: Authenticate, handshake: Handshake, key: bytes) -> None:
    """The code over all three messages (MS-NLMP 3.2.5.1.2); `key` is the session's base key."""
    code = said.mic
    if code is None:
        raise Refused("The message says that it has an integrity code, and has none.")
    if said.flags & NegotiateFlags.key_exch and said.flags & (NegotiateFlags.sign | NegotiateFlags.seal):
        key = rc4k(key, said.encrypted_random_session_key or b"")
    said.mic = bytes(16)
    if not hmac.compare_digest(hmac_md5(key, handshake.negotiate + handshake.challenge + said.pack()), code):
        raise Refused("The integrity code is wrong: one of the three messages was changed on its way.")


def _check_binding(sent: bytes, channel: bytes | None, protection: Protection) -> None:
    if protection == "none":
        return
    if sent == _NO_BINDING:
        if protection == "require":
            raise Refused("Extended Protection requires a channel binding, and none came.")
        return
    if channel is None:
        if protection == "require":
            raise Refused("Extended Protection requires a channel binding, and this connection has no TLS.")
        return  # TLS ends before this server, which then has nothing to compare with
    if not hmac.compare_digest(sent, md5(GssChannelBindings(application_data=channel).pack())):
        raise Refused("The channel binding is another connection's.")
