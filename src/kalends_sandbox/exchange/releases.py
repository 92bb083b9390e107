"""The releases of Exchange Server that this one can be: how each names itself and which schema versions it is asked for in.

Neighbours: settings.py has the limits of each; soap.py writes the names into every answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Build = tuple[int, int, int, int]
ReleaseName = Literal["2013", "2013_SP1", "2016", "2019", "SE"]

_TO_2013: Final = (
    *("Exchange2007", "Exchange2007_SP1", "Exchange2009", "Exchange2010", "Exchange2010_SP1", "Exchange2010_SP2"),
    *("Exchange2012", "Exchange2013"),
)
_TO_2013_SP1: Final = (*_TO_2013, "Exchange2013_SP1")
_TO_2016: Final = (
    *(*_TO_2013_SP1, "Exchange2015", "Exchange2016", "V2015_10_05", "V2016_01_06", "V2016_04_13", "V2016_07_13"),
    *("V2016_10_10", "V2017_01_07", "V2017_04_14", "V2017_07_11"),
)


@dataclass(frozen=True, slots=True)
class Release:
    """`version` is what ServerVersionInfo calls itself; `known` are the values of RequestServerVersion it takes."""

    build: Build  # a late one of the release
    version: str
    known: tuple[str, ...]
    hanging_connections: int  # HangingConnectionLimit, as installed

    @property
    def advertised(self) -> tuple[str, ...]:
        """The schemas that Autodiscover tells of: only the ones named after releases."""
        inside = ("Exchange2009", "Exchange2012", "Exchange2015")
        return tuple(name for name in self.known if name.startswith("Exchange") and name not in inside)


RELEASES: Final[Mapping[ReleaseName, Release]] = MappingProxyType(
    {
        "2013": Release((15, 0, 775, 38), "Exchange2013", _TO_2013, 3),
        "2013_SP1": Release((15, 0, 1497, 48), "V2_23", _TO_2013_SP1, 3),
        "2016": Release((15, 1, 2507, 61), "V2017_07_11", _TO_2016, 10),
        "2019": Release((15, 2, 1748, 10), "V2017_07_11", _TO_2016, 10),
        "SE": Release((15, 2, 2562, 29), "V2017_07_11", _TO_2016, 10),
    }
)
_FIRST_BUILDS: Final[tuple[tuple[Build, ReleaseName], ...]] = (
    ((15, 2, 2562, 0), "SE"),
    ((15, 2, 0, 0), "2019"),
    ((15, 1, 0, 0), "2016"),
    ((15, 0, 847, 0), "2013_SP1"),
)


def release_of(build: Build) -> Release:
    return RELEASES[next((name for first, name in _FIRST_BUILDS if build >= first), "2013")]
