"""What a meeting says (subject, place, text, people) on its way into the store and out of it: sealed, one column.

Each organization has a key of its own, wrapped by the installation's key and stored beside it (`organizations`), so that
the database, its log and every copy of them are unreadable without the key file. AES-256-GCM binds what is sealed to its
calendar and item: copied to another row it does not open. Store functions that read or write content are given a
`Contents`; those that need none never open it.

    "1" │ nonce 12 │ ciphertext and tag
"""

import hashlib
from dataclasses import dataclass, replace

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kalends.model.event import Attendee, Event, ItemId, Party, Version
from kalends.seal import Noise

_FORMAT = b"1"
_NONCE_BYTES = 12
_NONCE_AT = len(_FORMAT)
_TEXT_AT = _NONCE_AT + _NONCE_BYTES
_Fields = tuple[str | None, str | None, str | None, Party | None, tuple[Attendee, ...]]
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Fields).decode
_log = structlog.get_logger("kalends.store")


@dataclass(frozen=True, slots=True)
class Content:
    """The part of an event that is private text."""

    subject: str | None = None
    location: str | None = None
    description: str | None = None
    organizer: Party | None = None
    attendees: tuple[Attendee, ...] = ()


NOTHING = Content()


class Contents:
    """Seals and opens the content of one organization's events. One per process: the key is set up once."""

    def __init__(self, key: bytes, noise: Noise) -> None:
        self._noise = noise
        self._cipher = AESGCM(_derived(key, b"content"))
        self._digest_key = _derived(key, b"digest")
        self._said: set[str] = set()

    def seal(self, calendar: str, event: Event) -> bytes | None:
        """The event's content for the row of this item; None when it has none."""
        fields = (event.subject, event.location, event.description, event.organizer, event.attendees)
        if fields == (None, None, None, None, ()):
            return None
        nonce = self._noise(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, _pack(fields), _place(calendar, event.item))

    def open(self, calendar: str, item: str, sealed: bytes | None) -> Content:
        """What was sealed for this row; nothing where it was damaged or put there from another row.

        A meeting whose text is lost still makes its room busy, so one bad row stops nobody; it is logged once a calendar.
        """
        if sealed is None:
            return NOTHING
        nonce, text = sealed[_NONCE_AT:_TEXT_AT], sealed[_TEXT_AT:]
        try:
            if not sealed.startswith(_FORMAT):
                raise InvalidTag
            return Content(*_unpack(self._cipher.decrypt(nonce, text, _place(calendar, item))))
        except (InvalidTag, ValueError):
            self._complain(calendar)
            return NOTHING

    def digest(self, event: Event) -> bytes:
        """Equal for events that differ only in the provider's ids, version and time of change.

        Keyed: from a plain hash of a short subject anybody could find the subject by trying.
        """
        content = replace(event, item=ItemId(""), version=Version(""), master=None, modified_at=None)
        return hashlib.blake2b(_encode(content), key=self._digest_key, digest_size=32).digest()

    def _complain(self, calendar: str) -> None:
        if calendar not in self._said:
            self._said.add(calendar)
            reason = "The stored text of a meeting was altered or is damaged; its time still counts. Restore a backup."
            _log.error("content", calendar=calendar, reason=reason)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(b"kalends", key=key, person=purpose, digest_size=32).digest()


def _place(calendar: str, item: str) -> bytes:
    return _encode([calendar, item])
