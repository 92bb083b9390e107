"""The table of Windows zones, against the copy of CLDR that tzlocal ships."""

from tzlocal.windows_tz import win_tz

from kalends_sandbox.zones import IANA_BY_WINDOWS, zone


def test_every_windows_zone_stands_for_the_zone_that_cldr_says():
    assert win_tz == IANA_BY_WINDOWS


def test_every_zone_of_the_table_exists_here():
    assert all(zone(windows).tz.key == iana for windows, iana in IANA_BY_WINDOWS.items())
