"""Draws the charts of the report: Vega-Lite by vl-convert, which needs neither a browser nor a network. What a chart
shows is decided in `figures`.
"""

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import vl_convert

from neo_assets.products.figures import Filled

_WIDTH, _HEIGHT = 540, 300
"""Size of a chart in pixels; a page scales it."""

_COLOURS = {
    "past": "#4477aa",
    "predicted": "#dd8833",
    "hazardous": "#cc3311",
    "not hazardous": "#6699bb",
    "not known": "#aaaaaa",
}
"""The colours of what is told apart by them: they differ in brightness, too."""

_TEXT = "currentColor"
"""The colour of words and axes: that of the page around them, be it light or dark."""

_VEGA_LITE = "6.4"

_AXIS = {
    **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), _TEXT),
    "gridColor": _TEXT,
    "gridOpacity": 0.15,
    "labelFontSize": 13,
    "titleFontSize": 13,
    "titleFontWeight": "normal",
}
_CONFIG = {
    "aria": False,  # the chart has one description, and the table beside it its values
    "font": "sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": _TEXT,
        "titleColor": _TEXT,
        "labelFontSize": 13,
        "titleFontSize": 13,
        "orient": "top",
        "titleFontWeight": "normal",
        "gradientLength": 200,
    },
    "mark": {"color": _COLOURS["past"]},
    "range": {"heatmap": {"scheme": "viridis"}, "ramp": {"scheme": "viridis"}},
}

_SVG = "http://www.w3.org/2000/svg"


def svg(filled: Filled) -> str:
    """A figure's chart as an SVG element, which HTML may contain, with its title and finding as alternative text.

    The same rows give the same bytes. There are no scripts, no fonts and no addresses in it.
    """
    spec = {
        "width": _WIDTH,
        "height": _HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _CONFIG,
        "data": {"values": [_plain(point) for point in filled.points]},
        **copy.deepcopy(dict(filled.figure.chart)),
    }
    labels = {name: column["label"] for name, column in filled.figure.columns.items()}
    for channel, encoding in _encodings(spec):
        _complete(channel, encoding, labels)
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    return _for_a_page(drawn, filled)


def _encodings(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The channels of a chart, and of its layers, each with what it shows."""
    for one in (spec, *spec.get("layer", ())):
        yield from one.get("encoding", {}).items()


def _complete(channel: str, encoding: dict[str, Any], labels: Mapping[str, str]) -> None:
    """Add the label and the colours."""
    if encoding["field"] in labels and channel not in ("x2", "y2"):  # else an axis would have two
        encoding.setdefault("title", labels[encoding["field"]])
    if encoding.get("type") == "temporal":
        encoding["scale"] = {"type": "utc"}  # not the time of this machine
    scale = encoding.get("scale", {})
    if channel in ("color", "shape") and "domain" in scale:
        encoding["title"] = None  # what it names needs no heading
        if channel == "color":
            scale["range"] = [_COLOURS[name] for name in scale["domain"]]


def _plain(point: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON takes it. Times without a zone would be those of this machine."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value for name, value in point.items()
    }


def _for_a_page(drawn: str, filled: Filled) -> str:
    """The SVG as part of a page that has others: with ids of its own, as wide as its place, and described."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(drawn)
    words = (filled.figure.title, filled.finding)
    named = zip(("title", "desc"), words, strict=True)
    for place, (tag, text) in enumerate(named):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}")
        element.text = text
        root.insert(place, element)
    for size in ("width", "height"):
        del root.attrib[size]
    root.attrib |= {"role": "img", "aria-label": ". ".join(words)}
    drawn_ids = (element.attrib["id"] for element in root.iter() if "id" in element.attrib)
    # Vega numbers them over all charts of a process.
    ids = {drawn_id: f"{filled.figure.name}-{place}" for place, drawn_id in enumerate(drawn_ids)}
    references = {f"url(#{drawn_id})": f"url(#{own})" for drawn_id, own in ids.items()}
    for element in root.iter():
        for name, value in element.attrib.items():
            element.attrib[name] = ids[value] if name == "id" else references.get(value, value)
    return ElementTree.tostring(root, encoding="unicode")
