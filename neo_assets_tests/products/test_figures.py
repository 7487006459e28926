"""The figures of the report: their headers fit their SQL, and they say what their rows show."""

from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.products import database
from neo_assets.products.figures import JPL_URL, Figure, Filled, figures, filled
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import FIRST, KEYS, SECOND, make
from neo_assets_tests.sources.neows.examples import approach, neo, page

EVERY = [pytest.param(figure, id=figure.name) for figure in figures()]


def of(lake: Storage, name: str) -> Filled:
    [figure] = (one for one in figures() if one.name == name)
    with database.opened(lake) as connection:
        return filled(connection, figure)


def test_there_are_at_least_eight_in_the_order_of_their_places() -> None:
    assert len(figures()) >= 8
    assert [figure.place for figure in figures()] == list(range(1, len(figures()) + 1))


@pytest.mark.parametrize("figure", EVERY)
def test_the_table_shows_every_column_of_the_query(shared: Storage, figure: Figure) -> None:
    with database.opened(shared) as connection:
        columns = connection.sql(figure.sql).columns
    assert list(figure.columns) == [name for name in columns if name != JPL_URL]


@pytest.mark.parametrize("figure", EVERY)
def test_it_finds_something_or_says_that_there_is_nothing(shared: Storage, figure: Figure) -> None:
    found = of(shared, figure.name)
    assert found.finding.endswith(".")
    assert (found.finding == figure.none) == (not found.rows)


@pytest.mark.parametrize("figure", EVERY)
def test_the_finding_can_be_repeated_by_its_sql_alone(shared: Storage, figure: Figure) -> None:
    found = of(shared, figure.name)
    with database.opened(shared) as connection:
        again = connection.execute(figure.finding_sql).fetchall()
    assert not found.rows or again == [(found.finding,)]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake whose only NEO has neither H nor an approach."""
    lake = Storage(str(tmp_path_factory.mktemp("bare") / "lake"))
    owner.claim(lake, "nasa")
    known = {"absolute_magnitude_h": ..., "estimated_diameter": ..., "is_potentially_hazardous_asteroid": ...}
    gather(lake, FIRST, [page(neo("1", **known))])
    gather(lake, SECOND, [page(neo("2", **known), number=1)])
    total(lake, KEYS)
    make(lake)
    return lake


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake with 120 approaches to Earth in the next days, of NEOs that may be hazardous or not."""
    lake = Storage(str(tmp_path_factory.mktemp("crowded") / "lake"))
    owner.claim(lake, "nasa")
    today = datetime.now(UTC).date()
    approaches = [approach(day=str(today + timedelta(days=2 + number))) for number in range(40)]
    many = [neo(name, *approaches, is_potentially_hazardous_asteroid=...) for name in ("1", "2", "3")]
    gather(lake, FIRST, [page(*many)])
    gather(lake, SECOND, [page(neo("4"), number=1)])
    total(lake, KEYS)
    make(lake)
    return lake


@pytest.mark.parametrize("figure", EVERY)
def test_it_works_for_neos_of_which_little_is_known(bare: Storage, figure: Figure) -> None:
    found = of(bare, figure.name)
    assert (found.finding == figure.none) == (not found.rows)


@pytest.mark.parametrize("figure", EVERY)
def test_it_has_some_hundred_marks_at_most(simulated: Storage, figure: Figure) -> None:
    assert len(of(simulated, figure.name).points) <= 700


def test_hazardous_neos_are_inside_the_frame(simulated: Storage) -> None:
    rows = of(simulated, "hazard").rows
    inside = [row for row in rows if row["h_from"] < 22 and row["moid_from_au"] < 0.0499]
    assert sum(row["hazardous_neos"] for row in rows) == sum(row["hazardous_neos"] for row in inside) > 0


def test_it_says_which_approach_comes_closest(shared: Storage) -> None:
    found = of(shared, "closest")
    assert (
        found.finding == "Closest past: 2 XY on 2001-02-03, at 38.917 LD; predicted: 1 XY on 2029-04-13, at 0.973 LD."
    )


def test_past_and_predicted_approaches_are_counted_apart(shared: Storage) -> None:
    assert of(shared, "within_the_moon").rows == [
        {
            "decade": 2020,
            "past_approaches": 0,
            "predicted_approaches": 1,
            "closest_past_ld": None,
            "closest_predicted_ld": pytest.approx(0.97293, abs=1e-4),
        }
    ]
    years = of(shared, "by_year")
    assert [row["past_approaches"] for row in years.rows if row["year"] == 2001] == [1]
    assert [(one["series"], one["number"]) for one in years.points if one["year"] == 2001] == [
        ("past", 1),
        ("predicted", 0),
    ]


def test_every_upcoming_approach_is_counted_though_the_table_shows_100(crowded: Storage) -> None:
    found = of(crowded, "upcoming")
    assert len(found.rows) == 100
    assert found.finding.startswith("120 approaches, of which the table shows the 100 closest; the closest: ")
    assert found.finding.endswith("; 0 of potentially hazardous NEOs.")
    assert {row["hazard"] for row in found.rows} == {"not known"}


def test_neos_of_unknown_hazard_are_counted_apart(bare: Storage) -> None:
    for name in ("by_size", "by_orbit_class", "first_observations"):
        rows = of(bare, name).rows
        assert sum(row["unknown_neos"] for row in rows) == 2
        assert not any(row["hazardous_neos"] + row["other_neos"] for row in rows)


def test_cells_are_for_people(shared: Storage) -> None:
    found = of(shared, "closest")
    [cells] = [found.cells(row) for row in found.rows if row["kind"] == "predicted" and row["name"] == "1 XY"]
    assert [cell.text for cell in cells[:5]] == ["2029-04-13 00:00", "1 XY", "predicted", "0.973", "373,994"]
    assert [cell.is_number for cell in cells[:5]] == [False, False, False, True, True]
    assert found.cells({**found.rows[0], "miss_distance_ld": None})[3].text == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://ssd.jpl.nasa.gov/1", "https://ssd.jpl.nasa.gov/1"), ("javascript:alert(1)", ""), (None, "")],
)
def test_only_addresses_of_pages_become_links(shared: Storage, url: str | None, shown: str) -> None:
    found = of(shared, "closest")
    row = {**found.rows[0], JPL_URL: url}
    assert [cell.url for cell in found.cells(row)] == ["", shown, *[""] * (len(found.figure.columns) - 2)]
