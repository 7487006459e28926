"""What is known of NeoWs's data as a whole: its au, its page size, its years. Tables and columns are in `tables`."""

KM_PER_AU = 149_597_870
"""Kilometres in one astronomical unit, as NeoWs converts it (the IAU defines 149,597,870.7 km)."""

NEOS_PER_PAGE = 20
"""NEOs on a full Browse page: NeoWs's default, and its maximum."""

YEARS = (1899, 2201)
"""First and last calendar year (UTC) of a close approach in NeoWs: 1900 to 2200, plus a stray day at either end."""

DAYS_APART = 1
"""Days that the time of a close approach may be off its date: before 2018, NeoWs gave midnight in its own time zone."""
