"""The simplest forms of an Advanced Query Syntax string: words, "phrases", `property:word`, OR, NOT and a leading minus.

Words begin words, in any case and without regard to accents; several must all be there. Neighbours: find.py.
"""

import re
from collections.abc import Callable
from typing import Final

from kalends_sandbox.exchange.filters import folded
from kalends_sandbox.exchange.soap import Refusal
from kalends_sandbox.item import Item

_MAX_WORDS: Final = 50
_WORD: Final = re.compile(r'(-?)(?:(\w+):)?(?:"([^"]*)"|([^\s"]+))')
_PROPERTIES: Final[dict[str, Callable[[Item], str]]] = {
    "subject": lambda item: item.subject or "",
    "body": lambda item: item.body or "",
    "location": lambda item: item.location or "",
    "from": lambda item: _person(item),
    "organizer": lambda item: _person(item),
    "to": lambda item: " ".join(f"{one.name} {one.address}" for one in item.attendees),
    "participants": lambda item: f"{_person(item)} {_PROPERTIES['to'](item)}",
    "category": lambda item: " ".join(item.categories),
    "kind": lambda item: "meetings",
}

Predicate = Callable[[Item], bool]


def compiled(text: str) -> Predicate:
    """What the query keeps; an empty one keeps everything."""
    alternatives: list[list[Predicate]] = [[]]
    negates = False
    for count, found in enumerate(_WORD.finditer(text)):
        minus, name, phrase, word = found.groups()
        if count == _MAX_WORDS:
            raise Refusal("ErrorSearchQueryHasTooManyKeywords", f"The query has more than {_MAX_WORDS} words.")
        if phrase is None and name is None and word in ("AND", "OR", "NOT"):
            if word == "OR":
                alternatives.append([])
            negates = negates or word == "NOT"
            continue
        alternatives[-1].append(_sought(name, phrase if phrase is not None else word, bool(minus) != negates))
        negates = False
    given = [one for one in alternatives if one] or [[]]
    return lambda item: any(all(keeps(item) for keeps in alternative) for alternative in given)


def _sought(name: str | None, words: str, is_negated: bool) -> Predicate:
    read = _PROPERTIES.get((name or "").lower())
    if name is not None and read is None:
        words = f"{name}:{words}"  # no property that is known here, so only a word with a colon in it
    pattern = re.compile(rf"\b{re.escape(folded(words.rstrip('*'), 'Loose'))}")
    read = read or _everything
    return lambda item: (pattern.search(folded(read(item), "Loose")) is not None) != is_negated


def _everything(item: Item) -> str:
    return "\n".join(_PROPERTIES[name](item) for name in ("subject", "body", "location", "participants", "category"))


def _person(item: Item) -> str:
    return "" if item.organizer is None else f"{item.organizer.name} {item.organizer.address}"
