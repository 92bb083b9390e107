"""Which Exchange Server this is, told by the build it names in its answers, and which schema to ask for. Pure.

The builds are those of https://learn.microsoft.com/exchange/new-features/build-numbers-and-release-dates (each row the
first build of its release); the schema names are Microsoft's ExchangeVersionType.
"""

from dataclasses import dataclass

from kalends.providers.exchange.soap import SCHEMA_VERSION, Element, S, T
from kalends.providers.protocol import Finding


@dataclass(frozen=True, slots=True, order=True)
class Build:
    """A server's build, as 15.2.1748.10."""

    major: int
    minor: int
    number: int = 0
    revision: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.number}.{self.revision}"


@dataclass(frozen=True, slots=True)
class Release:
    since: Build
    name: str
    schema: str | None = None
    """The newest schema it knows; None: Kalends can't use it."""
    pin: str | None = None
    """What the setting `version` calls it."""


ONLINE = Release(Build(15, 20), "Exchange Online")
_RELEASES = (
    ONLINE,
    Release(Build(15, 2, 2562), "Exchange Server SE", "Exchange2016", "SE"),
    Release(Build(15, 2), "Exchange Server 2019", "Exchange2016", "2019"),
    Release(Build(15, 1), "Exchange Server 2016", "Exchange2016", "2016"),
    Release(Build(15, 0, 847), "Exchange Server 2013 SP1", "Exchange2013_SP1", "2013_SP1"),
    Release(Build(15, 0), "Exchange Server 2013", "Exchange2013", "2013"),
    Release(Build(14, 0), "Exchange Server 2010"),
    Release(Build(0, 0), "Exchange Server 2007 or older"),
)
PINS = {release.pin: release.schema for release in reversed(_RELEASES) if release.pin and release.schema}
"""What the setting `version` may say → the schema that is asked for then."""


def release(build: Build) -> Release:
    return next(each for each in _RELEASES if build >= each.since)


def schema(pinned: str | None) -> str:
    """The schema to ask for when this version is pinned, or none."""
    return SCHEMA_VERSION if pinned is None else PINS[pinned]


def finding(build: Build | None, pinned: str | None) -> Finding:
    """For `accounts check`: which server this is, which schema it is asked for, and whether that fits."""
    asked = f"It is asked for the schema {schema(pinned)}" + (f", because {pinned} is pinned." if pinned else ".")
    if build is None:
        return Finding("version", True, f"The server does not say which version it is. {asked}", warning=True)
    found = release(build)
    name = f"{found.name} ({build})."
    if found == ONLINE:
        return Finding("version", False, f"{name} EWS is being switched off there: connect Microsoft 365 by Graph.")
    if found.schema is None:
        return Finding("version", False, f"{name} Kalends needs Exchange Server 2013 or newer.")
    if pinned is not None and pinned != found.pin:
        return Finding("version", True, f"{name} {asked} Pin {found.pin}, or nothing.", warning=True)
    return Finding("version", True, f"{name} {asked}")


def told(content: Element) -> Build | None:
    """The build that the envelope around an answer names; faults name none."""
    envelope = content.getroottree().getroot()
    info = envelope.find(f"{S}Header/{T}ServerVersionInfo")
    if info is None:
        return None
    names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    return build_of(*(info.get(name) or "" for name in names))


def build_of(major: str, minor: str, number: str, revision: str) -> Build | None:
    """From decimal digits; None when they are none."""
    parts = [part.strip() for part in (major, minor, number, revision)]
    if not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        return None
    return Build(*(int(part) for part in parts))


def packed(text: str) -> Build | None:
    """From the eight hex digits of a POX answer: 4 bits of structure, 6 major, 6 minor, 1 flag, 15 build (MS-OXDSCLI)."""
    try:
        bits = int(text.strip()[:8], 16)
    except ValueError:
        return None
    return Build(bits >> 22 & 0x3F, bits >> 16 & 0x3F, bits & 0x7FFF)
