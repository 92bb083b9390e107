"""An ear for tests: keeps what it hears, masked at once."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kalends.providers.protocol import Spoken


@dataclass
class Listener:
    said: list[Spoken] = field(default_factory=list)

    def hear(self, say: Callable[[], Spoken], size_bytes: int) -> None:
        self.said.append(say())

    @property
    def everything(self) -> str:
        return "\n".join(f"{each.title}\n{each.headers}\n{each.body}\n{each.note}" for each in self.said)

    def of(self, kind: str) -> list[Spoken]:
        return [each for each in self.said if each.kind == kind]
