"""Identities as Exchange gives them: item ids, change keys and global object ids. Neighbours: item.py, mailbox.py.

Everything is drawn from the world's seeded generator, so a world built twice has the same ids.
"""

import base64
import hashlib
import random
from datetime import UTC, date, datetime

# The fixed 16 bytes that open every PidLidGlobalObjectId (MS-OXOCAL 2.2.1.27).
_GLOBAL_OBJECT_CLASS = bytes.fromhex("040000008200E00074C5B7101A82E008")
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_ONE_IN_TWINS = 40


class Ids:
    """A source of identities.

    Item ids are opaque, and case matters: about one in forty differs from its predecessor by case alone.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._serial = 0
        self._previous: str | None = None

    def item(self) -> str:
        self._serial += 1
        if self._previous is not None and self._rng.randrange(_ONE_IN_TWINS) == 0:
            twin, self._previous = (
                _other_case(self._previous),
                None,
            )  # an id has at most one twin, so none is given twice
            return twin
        raw = b"\x00\x01" + self._serial.to_bytes(4, "big") + self._rng.randbytes(45)
        self._previous = "AAMk" + base64.b64encode(raw).decode()
        return self._previous

    def folder(self) -> str:
        self._serial += 1
        return (
            "AQMk" + base64.b64encode(b"\x00\x02" + self._serial.to_bytes(4, "big") + self._rng.randbytes(39)).decode()
        )

    def change_key(self) -> str:
        self._serial += 1
        return "DwAA" + base64.b64encode(self._serial.to_bytes(6, "big") + self._rng.randbytes(15)).decode()

    def uid(self, created: datetime) -> str:
        """A new meeting's global object id in hex, as EWS shows it in `UID`: class, no instance date, FILETIME, 16
        random bytes.
        """
        ticks = int((created - _FILETIME_EPOCH).total_seconds()) * 10_000_000
        head = _GLOBAL_OBJECT_CLASS + bytes(4) + ticks.to_bytes(8, "little") + bytes(8)
        return (head + (16).to_bytes(4, "little") + self._rng.randbytes(16)).hex().upper()


def instance_uid(uid: str, day: date) -> str:
    """The id that somebody invited to one occurrence only gets: the same, with the instance's date written into bytes
    16 to 19.
    """
    return uid[:32] + f"{day.year:04X}{day.month:02X}{day.day:02X}" + uid[40:] if _is_global_object_id(uid) else uid


def instance_day(uid: str) -> date | None:
    """The instance's date in such an id; None in that of a whole meeting."""
    if not _is_global_object_id(uid) or uid[32:40] == "00000000":
        return None
    try:
        return date(int(uid[32:36], 16), int(uid[36:38], 16), int(uid[38:40], 16))
    except ValueError:  # somebody else's id that only looks like one of ours
        return None


def clean_uid(uid: str) -> str:
    """The id without an instance date, equal for a series and everything cut from it (PidLidCleanGlobalObjectId)."""
    return uid[:32] + "00000000" + uid[40:] if _is_global_object_id(uid) else uid


def global_object_id(uid: str) -> bytes:
    """The bytes behind a UID. A UID that another system coined is wrapped the way Exchange does it:

    `vCal-Uid`, version 1, the text.
    """
    if _is_global_object_id(uid):
        return bytes.fromhex(uid)
    data = b"vCal-Uid" + (1).to_bytes(4, "little") + uid.encode() + b"\x00"
    return _GLOBAL_OBJECT_CLASS + bytes(20) + len(data).to_bytes(4, "little") + data


def occurrence_id(master_id: str, generation: int, original_start: datetime) -> str:
    """An occurrence's synthetic id: the same until the series' pattern changes (its generation then grows)."""
    when = int(original_start.timestamp()).to_bytes(8, "big", signed=True)
    body = b"\x00\x03" + master_fingerprint(master_id) + generation.to_bytes(4, "big") + when
    return "AAMk" + base64.b64encode(body + hashlib.sha256(body).digest()[:12]).decode()


def read_occurrence_id(occurrence: str) -> tuple[bytes, int, datetime] | None:
    """(fingerprint of the master's id, generation, original start), or None when this is no occurrence's id."""
    try:
        body = base64.b64decode(occurrence.removeprefix("AAMk"), validate=True)
    except ValueError:
        return None
    if len(body) != 42 or body[:2] != b"\x00\x03" or hashlib.sha256(body[:30]).digest()[:12] != body[30:]:
        return None
    when = datetime.fromtimestamp(int.from_bytes(body[22:30], "big", signed=True), UTC)
    return body[2:18], int.from_bytes(body[18:22], "big"), when


def master_fingerprint(master_id: str) -> bytes:
    return hashlib.sha256(master_id.encode()).digest()[:16]


def _is_global_object_id(uid: str) -> bool:
    return len(uid) >= 80 and uid.upper().startswith(_GLOBAL_OBJECT_CLASS.hex().upper())


def _other_case(item_id: str) -> str:
    """The same id with its last letter's case changed: another id, as Exchange means it, unless somebody folds case."""
    for index in range(len(item_id) - 1, 3, -1):
        if item_id[index].isalpha():
            return item_id[:index] + item_id[index].swapcase() + item_id[index + 1 :]
    return item_id + "A"
