"""What is known of NeoWs's data as a whole: units of distance, page size, years, designations, what counts as a near
miss. Tables and columns are in `tables`.
"""

KM_PER_AU = 149_597_870
"""Kilometres in one astronomical unit, as NeoWs converts it (the IAU defines 149,597,870.7 km)."""

KM_PER_LUNAR_DISTANCE = 384_400
"""Kilometres in one lunar distance (LD), the mean distance between Earth and Moon, as JPL's tables of close approaches
have it (https://cneos.jpl.nasa.gov/glossary/LD.html). NeoWs itself uses 389 LD per au, so its LD is 384,570 km.
"""

NEAR_MISS_AU = 0.2
"""A close approach with a miss distance strictly below this, in au, is a near miss: the exercise's definition."""

NEOS_PER_PAGE = 20
"""NEOs on a full Browse page: NeoWs's default, and its maximum."""

YEARS = (1899, 2201)
"""First and last calendar year (UTC) of a close approach in NeoWs: 1900 to 2200, plus a stray day at either end."""

DAYS_APART = 1
"""Days that the time of a close approach may be off its date: before 2018, NeoWs gave midnight in its own time zone."""

PROVISIONAL_DESIGNATION = r"(?:[ACDIPX]/)?(?:\d{4}|[AB]\d{3}) [A-Z]{1,2}\d*(?:-[A-Z]+)?|\d+ (?:P-L|T-[123])"
"""Shape of a provisional designation, as a regular expression: of an asteroid (2010 AB12, before 1925
A898 PA), a comet or former comet (P/1999 R1, A/2017 U1), or a survey (6344 P-L).

Source: https://www.minorplanetcenter.net/iau/info/DesDoc.html.
"""
