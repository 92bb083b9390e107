"""What a measurement says: one line of JSON per figure, with its spread, its limit or peer, and the machine."""

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from statistics import median

Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `value` is the median of `samples` unless the measurement says otherwise in `note`."""

    name: str
    value: float
    unit: str
    samples: Sequence[float] = ()
    """One per round, so that the spread can be seen."""
    peer: str = ""
    """The limit or the program measured beside it in the same run, in turns with it."""
    peer_value: float | None = None
    goal: str = ""
    met: bool | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    note: str = ""

    def line(self, quick: bool) -> str:
        facts: dict[str, object] = {"name": self.name, "value": _short(self.value), "unit": self.unit}
        if self.samples:
            facts |= {
                "rounds": len(self.samples),
                "low": _short(min(self.samples)),
                "high": _short(max(self.samples)),
                "spread": _short(spread(self.samples)),
            }
        if self.peer_value is not None:
            facts |= {"peer": self.peer, "peer_value": _short(self.peer_value)}
            facts["ratio"] = _short(self.value / self.peer_value) if self.peer_value else None
        if self.goal:
            facts |= {"goal": self.goal, "met": self.met}
        facts |= {name: _plain(value) for name, value in self.details.items()}
        if self.note:
            facts["note"] = self.note
        facts |= {"quick": quick, **machine()}
        return json.dumps(facts, ensure_ascii=False)


Tell = Callable[[str], None]


def tell(line: str) -> None:
    """Progress, for people."""
    print(f"  {line}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    assert ordered, "a percentile of nothing"
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def spread(samples: Sequence[float]) -> float:
    """How far apart the rounds lie: (highest - lowest) / median."""
    middle = median(samples)
    return (max(samples) - min(samples)) / middle if middle else 0.0


@cache
def machine() -> dict[str, Value]:
    names = ("sqlalchemy", "lxml", "httpx2", "uvloop")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "nice": os.nice(0),
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as facts:
            return next(line.partition(":")[2].strip() for line in facts if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _short(value: float) -> float:
    """Four digits that mean something."""
    return value if isinstance(value, int) else float(f"{value:.4g}")
