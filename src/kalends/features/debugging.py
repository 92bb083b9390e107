"""Protocol debugging for people: what was said, as text and as JSON, and a sentence about how long it goes on. Pure."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Literal

from kalends.store.debugging import Debugging, Entry

Form = Literal["text", "jsonl"]
AT_ONCE = 100
"""Entries read from the record in one step."""
KIND_WORDS = {"request": "asked", "answer": "answered", "more": "went on", "failure": "failed"}


def stamp(at: datetime) -> str:
    """To the millisecond, in UTC: what logs of servers are compared by."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}Z"


def as_text(entry: Entry) -> str:
    """Ends with an empty line."""
    said = entry.said
    head = f"{stamp(entry.at)}  {talk_of(entry)}  {KIND_WORDS[said.kind]}: {said.title}"
    lines = [head, *(f"{name}: {value}" for name, value in said.headers)]
    lines += ["", said.body] if said.body else []
    lines += [f"[{said.note}]"] if said.note else []
    return "\n".join(lines) + "\n\n"


def as_json(entry: Entry) -> str:
    """One line, without its end."""
    said = asdict(entry.said) | {"headers": [list(pair) for pair in entry.said.headers]}
    known = {"seq": entry.seq, "at": entry.at.isoformat(), "process": entry.process}
    return json.dumps(known | said, ensure_ascii=False)


def written(entry: Entry, form: Form) -> str:
    return as_text(entry) if form == "text" else as_json(entry) + "\n"


def talk_of(entry: Entry) -> str:
    """Names a conversation across all processes, such as `1f0c22ab-17`."""
    return f"{entry.process}-{entry.said.conversation}"


def losses(found: Debugging) -> str:
    """Empty when nothing was lost."""
    if not found.lost:
        return ""
    these = "1 entry was" if found.lost == 1 else f"{found.lost} entries were"
    return f"{these} not kept: too many at once."
