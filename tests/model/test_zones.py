"""Zone names of every family find their IANA zone; names that nobody knows are kept and harm nothing."""

import subprocess
import sys
import zoneinfo
from pathlib import Path

import pytest

from kalends.model.windows_zones import IANA_OF
from kalends.model.zones import zone_of

GENERATOR = Path(__file__).parents[2] / "tools/zones.py"


@pytest.mark.parametrize(
    ("original", "iana"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time", "Europe/Berlin"),
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("Mid-Atlantic Standard Time", "Atlantic/South_Georgia"),
        ("tzone://Microsoft/Utc", "Etc/UTC"),
        ("UTC", "Etc/UTC"),
        ("Mitteleuropäische Zeit", "Europe/Berlin"),
        ("(UTC+01:00) Amsterdam, Berlin, Bern, Rom, Stockholm, Wien", "Europe/Berlin"),
        ("Europe/Lisbon", "Europe/Lisbon"),
        ("UTC-11", "Etc/GMT+11"),
        ("tzone://Microsoft/Custom", None),
        ("Customized Time Zone", None),
        ("", None),
        ("EST", None),
        ("../../etc/passwd", None),
        ("Nowhere/Land", None),
    ],
)
def test_a_name_finds_its_zone(original: str, iana: str | None) -> None:
    zone = zone_of(original)

    assert (zone.original, zone.iana) == (original, iana)


def test_every_windows_zone_is_one_that_python_knows() -> None:
    assert set(IANA_OF.values()) <= zoneinfo.available_timezones()


def test_the_table_is_what_its_generator_writes() -> None:
    checked = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False, timeout=60
    )

    assert checked.returncode == 0, checked.stderr
