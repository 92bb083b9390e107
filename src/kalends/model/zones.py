"""Zone names: what calendar systems send, as the IANA zone it means, where anybody can tell.

Three families arrive: Windows names (`W. Europe Standard Time`), their translations (`Mitteleuropäische Zeit`, from
clients on localised machines), and Exchange's own words (`tzone://Microsoft/Utc`, `Customized Time Zone`). A name that
nobody knows is no error: its text is kept and its IANA name is None.
"""

import zoneinfo
from functools import lru_cache

from kalends.model.event import Zone
from kalends.model.windows_zones import IANA_OF

_ODD = {
    "tzone://microsoft/utc": "Etc/UTC",
    "utc": "Etc/UTC",
    "gmt": "Etc/UTC",
    "z": "Etc/UTC",
    "(utc) coordinated universal time": "Etc/UTC",
}

# Display names and translations seen in the wild, by their Windows name; `Zeit` and `Normalzeit` are Windows' words.
_TRANSLATED = {
    "koordinierte weltzeit": "UTC",
    "mitteleuropäische zeit": "W. Europe Standard Time",
    "mitteleuropäische normalzeit": "W. Europe Standard Time",
    "mitteleuropäische sommerzeit": "W. Europe Standard Time",
    "westeuropäische zeit": "GMT Standard Time",
    "westeuropäische normalzeit": "GMT Standard Time",
    "osteuropäische zeit": "E. Europe Standard Time",
    "osteuropäische normalzeit": "E. Europe Standard Time",
    "romanische normalzeit": "Romance Standard Time",
    "zentraleuropäische normalzeit": "Central Europe Standard Time",
    "mitteleuropäische zeit (mez)": "W. Europe Standard Time",
    "paris, madrid": "Romance Standard Time",
    "europe de l’ouest": "W. Europe Standard Time",
    "europe de l'ouest": "W. Europe Standard Time",
    "heure d’europe centrale": "Central European Standard Time",
    "heure d'europe centrale": "Central European Standard Time",
    "ora solare europa occidentale": "W. Europe Standard Time",
    "hora estándar romance": "Romance Standard Time",
    "west-europa (standaardtijd)": "W. Europe Standard Time",
    "środkowoeuropejski czas stand.": "Central European Standard Time",
    "(utc+01:00) amsterdam, berlin, bern, rom, stockholm, wien": "W. Europe Standard Time",
    "(utc+01:00) amsterdam, berlin, bern, rome, stockholm, vienna": "W. Europe Standard Time",
    "(utc+01:00) brussels, copenhagen, madrid, paris": "Romance Standard Time",
    "(utc+00:00) dublin, edinburgh, lisbon, london": "GMT Standard Time",
    "(utc-05:00) eastern time (us & canada)": "Eastern Standard Time",
    "(utc-06:00) central time (us & canada)": "Central Standard Time",
    "(utc-07:00) mountain time (us & canada)": "Mountain Standard Time",
    "(utc-08:00) pacific time (us & canada)": "Pacific Standard Time",
}
_BY_LOWER = {windows.lower(): iana for windows, iana in IANA_OF.items()}


def zone_of(original: str) -> Zone:
    """The zone with its original name kept as it came."""
    return Zone(original, iana_of(original))


@lru_cache(maxsize=1024)
def iana_of(original: str) -> str | None:
    """The IANA name for a name of any family; None for custom, empty and unknown ones."""
    name = " ".join(original.split()).lower()
    if found := _ODD.get(name) or _BY_LOWER.get(name):
        return found
    if windows := _TRANSLATED.get(name):
        return IANA_OF[windows]
    return original.strip() if _is_iana(original.strip()) else None


def _is_iana(name: str) -> bool:
    # A name without a slash is an abbreviation such as EST: Windows clients mean other things by those.
    return "/" in name and name in _available()


@lru_cache(maxsize=1)
def _available() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
