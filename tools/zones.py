"""Writes `src/kalends/model/windows_zones.py` from tzlocal's copy of CLDR's windowsZones: `python tools/zones.py`.

Run it when tzdata or CLDR learn of a new zone, and read the difference before committing it: the table is reviewed,
not trusted. `--check` only says whether the file is up to date.
"""

import sys
import zoneinfo
from pathlib import Path

from tzlocal import windows_tz

TARGET = Path(__file__).parents[1] / "src/kalends/model/windows_zones.py"

# Names that Windows or Exchange knew once, or knows without being in CLDR.
EXTRA = {
    "Coordinated Universal Time": "Etc/UTC",
    "Kamchatka Standard Time": "Asia/Kamchatka",
    "Mexico Standard Time": "America/Mexico_City",
    "Mexico Standard Time 2": "America/Chihuahua",
    "Mid-Atlantic Standard Time": "Atlantic/South_Georgia",
}


def rows() -> dict[str, str]:
    known = zoneinfo.available_timezones()
    table = {**windows_tz.win_tz, **EXTRA}
    unknown = sorted(iana for iana in table.values() if iana not in known)
    if unknown:
        raise SystemExit(f"tzdata does not know {', '.join(unknown)}: update tzdata, or put the right name into EXTRA.")
    return dict(sorted(table.items()))


def text() -> str:
    lines = [f'    "{windows}": "{iana}",' for windows, iana in rows().items()]
    head = [
        '"""Windows zone names and the IANA zone that CLDR gives each for the world at large.',
        "",
        "Written by `tools/zones.py`; change it there.",
        '"""',
        "",
        "IANA_OF = {",
    ]
    return "\n".join([*head, *lines, "}", ""])


def main() -> None:
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text():
        raise SystemExit(
            f"{TARGET} is not what tools/zones.py writes: run `python tools/zones.py` and read the difference."
        )


if __name__ == "__main__":
    main()
