"""Where the conversations of one account can be listened to: `http.py` passes everything by here, and mostly nobody listens.

What is heard goes to an `Ear` (see `protocol.py`) as a function that masks it, to be called when there is time. Answers are
cut into the documents that a vendor's streams consist of, each at most `KEPT_BYTES` long here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kalends.providers import masking
from kalends.providers.protocol import Ear, Spoken, Unavailable

KEPT_BYTES = 256 * 1024
"""Of one document, before masking: enough for 64 KiB that can be read afterwards."""
_OVERLAP = 64
"""A document's end may lie across two parts."""

Kind = Literal["request", "answer", "more", "failure"]


class Masked(NamedTuple):
    """What may be kept of a body."""

    text: str = ""
    note: str = ""
    """What is to be said of the rest."""
    gist: str = ""
    """What it is about, in a word or two: an operation, an error's code."""


def _only_length(content_type: str, body: bytes, size: int) -> Masked:
    return Masked(note=f"{size} bytes, which Kalends does not show")


def _no_end(body: bytes) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a vendor's documents look like. Without one nothing of a body is kept."""

    masked: Callable[[str, bytes, int], Masked] = _only_length
    """From a content type, the beginning of a body, and the size of all of it."""
    end: Callable[[bytes], int | None] = _no_end
    """Where the first document in these bytes ends; None if it doesn't."""


class Tap:
    """Shared by all of an account's doors. Costs a look at `ear` while that is None."""

    def __init__(self, dialect: Dialect | None = None) -> None:
        self.ear: Ear | None = None
        self.dialect = dialect or Dialect()
        self._count = 0

    def talk(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> "Talk":
        talk = Talk(self)
        if self.ear is not None:
            talk.asked(method, url, headers, body)
        return talk

    def number(self) -> int:
        self._count += 1
        return self._count


class Talk:
    """One request and its answer."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._number = 0
        self._title = ""
        self._headers: list[tuple[str, str]] = []
        self._has_answered = False
        self._kept = bytearray()
        self._size = 0
        self._tail = b""

    def asked(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        title = f"{method} {masking.address(url)}"
        self._say("request", title, list(headers.items()), body[:KEPT_BYTES], len(body))

    def answered(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._title, self._headers = f"HTTP {status}", headers

    def part(self, data: bytes) -> None:
        """Some more of the answer's body."""
        if self._tap.ear is None:
            self._begin_anew()
            return
        while data:
            data = self._take(data)

    def _take(self, data: bytes) -> bytes:
        """Adds what belongs to the present document, and returns what is beyond its end."""
        searched = self._tail + data
        end = self._tap.dialect.end(searched)
        mine = len(data) if end is None else end - len(self._tail)
        self._kept += data[: min(mine, KEPT_BYTES - len(self._kept))]
        self._size += mine
        self._tail = searched[-_OVERLAP:]
        if end is not None:
            self._answer()
        return data[mine:]

    def ended(self, note: str = "") -> None:
        """Nothing more comes, or is read; `note` says which if it was not the end."""
        if self._title and self._tap.ear is not None and (self._kept.strip() or not self._has_answered):
            self._answer(note)
        self._title = ""

    def failed(self, sentence: str) -> None:
        self.ended("The rest did not come.")
        if self._tap.ear is not None:
            self._say("failure", sentence)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Notes what `http.py` itself has to say of a failure. Its sentences name hosts, never people."""
        try:
            yield
        except Unavailable as error:
            self.failed(str(error))
            raise

    def _answer(self, note: str = "") -> None:
        kind: Kind = "more" if self._has_answered else "answer"
        self._has_answered = True
        self._say(kind, self._title, self._headers, bytes(self._kept), self._size, note)
        self._begin_anew()

    def _begin_anew(self) -> None:
        if self._size:
            self._kept, self._size, self._tail = bytearray(), 0, b""

    def _say(
        self,
        kind: Kind,
        title: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        size: int = 0,
        note: str = "",
    ) -> None:
        ear = self._tap.ear
        assert ear is not None, "only what somebody hears is said"
        self._number = self._number or self._tap.number()
        number, masked = self._number, self._tap.dialect.masked

        def say() -> Spoken:
            content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
            kept = masked(content_type, body, size) if size else Masked()
            shown = () if kind == "more" else masking.headers(headers)
            said = " ".join(each for each in (kept.note, note) if each)
            return Spoken(number, kind, f"{title} {kept.gist}".rstrip(), shown, kept.text, said)

        ear.hear(say, len(body) + 1024)
