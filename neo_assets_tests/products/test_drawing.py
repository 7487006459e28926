"""Charts are SVG that a page can contain: described, without addresses or scripts, the same for the same rows."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from neo_assets.products.drawing import svg
from neo_assets.products.figures import Figure, Filled

BARS = Figure(
    name="bars",
    sql="",
    file="",
    place=1,
    title="NEOs & <sizes>",
    text="",
    none="",
    finding="",
    columns={
        "size": {"label": "Size class"},
        "few": {"label": "Few", "series": "hazardous"},
        "many": {"label": "Many", "series": "not hazardous"},
    },
    chart={
        "mark": "bar",
        "encoding": {
            "x": {"field": "size", "type": "nominal"},
            "y": {"field": "number", "type": "quantitative"},
            "color": {"field": "series", "scale": {"domain": ["hazardous", "not hazardous"]}},
        },
    },
)
FILLED = Filled(
    BARS, [{"size": "</script>", "few": 2, "many": 40}, {"size": "small", "few": 0, "many": 7}], "Most: 40."
)
TIMES = Filled(
    replace(
        BARS,
        name="times",
        columns={"at": {"label": "Time (UTC)"}, "number": {"label": "Number"}},
        chart={
            "mark": "point",
            "encoding": {
                "x": {"field": "at", "type": "temporal"},
                "y": {"field": "number", "type": "quantitative"},
                "color": {"field": "number", "type": "quantitative"},
            },
        },
    ),
    [{"at": datetime(2029, 4, 13, 21, 46), "number": 1}, {"at": datetime(2029, 4, 14), "number": 2}],
    "Two.",
)


def texts(drawn: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]


def test_it_is_an_image_with_its_title_and_finding_as_alternative_text() -> None:
    root = ElementTree.fromstring(svg(FILLED))
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", "NEOs & <sizes>. Most: 40.")
    assert [element.text for element in list(root)[:2]] == ["NEOs & <sizes>", "Most: 40."]
    assert "width" not in root.attrib, "the page decides"
    assert re.fullmatch(r"0 0 5\d\d [23]\d\d", root.attrib["viewBox"])


def test_axes_and_legend_have_labels() -> None:
    assert {"Size class", "hazardous", "not hazardous", "</script>", "small"} <= set(texts(svg(FILLED)))


def test_it_asks_for_nothing_and_takes_its_colour_from_the_page() -> None:
    drawn = svg(FILLED)
    assert set(re.findall(r"https?://[^\"]*", drawn)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(script|image|style|foreignObject)|href|</script>", drawn)
    assert "currentColor" in drawn
    assert set(re.findall(r'font-family="([^"]*)"', drawn)) == {"sans-serif"}


def test_its_ids_are_its_own() -> None:
    drawn = svg(TIMES)
    ids = re.findall(r' id="([^"]*)"', drawn)
    assert ids
    assert all(one.startswith("times-") for one in ids)
    assert set(re.findall(r"url\(#([^)]*)\)", drawn)) <= set(ids)


def test_data_cannot_be_fetched_from_elsewhere() -> None:
    far = replace(BARS, chart={**BARS.chart, "data": {"url": "https://example.org/data.json"}})
    with pytest.raises(ValueError, match="External data url not allowed"):
        svg(replace(FILLED, figure=far))


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_times_are_utc_wherever_it_is_drawn(zone: str) -> None:
    program = (
        "import json, sys\nfrom neo_assets.products.drawing import svg\n"
        "from neo_assets_tests.products.test_drawing import FILLED, TIMES\n"
        "json.dump([svg(FILLED), svg(TIMES)], sys.stdout)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout) == [svg(FILLED), svg(TIMES)]
