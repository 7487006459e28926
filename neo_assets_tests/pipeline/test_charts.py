"""Charts, as a browser and a reader get them."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from neo_assets.pipeline.charts import bars, described

SVG = "{http://www.w3.org/2000/svg}"


@given(st.dictionaries(st.text("<&>\"'aé", min_size=1), st.integers(0, 10**9)))
def test_any_numbers_give_an_image_with_one_bar_each(numbers: dict[str, int]) -> None:
    image = ElementTree.fromstring(bars(numbers, "Near misses <by> body"))
    path = image.find(f"{SVG}path")
    assert path is not None
    assert path.attrib["d"].count("M") == len(numbers)
    tops = [float(bar.partition("V")[2]) for bar in path.attrib["d"].split("M")[1:]]
    assert all(44 <= top <= 196 for top in tops)


def test_few_bars_have_their_name_and_number() -> None:
    image = ElementTree.fromstring(bars({"Earth": 1200, "Venus": 30}, "Near misses"))
    assert [text.text for text in image.iter(f"{SVG}text")] == ["Near misses", "Earth", "1,200", "Venus", "30"]


def test_of_many_names_some_are_written() -> None:
    image = ElementTree.fromstring(bars({str(year): year for year in range(1900, 2201)}, "Approaches"))
    names = [text.text for text in image.iter(f"{SVG}text")]
    assert names[1:4] == ["1900", "1926", "1952"]
    assert len(names) <= 13


def test_a_chart_is_small_enough_for_a_history() -> None:
    assert len(bars({str(year): 7777 for year in range(1900, 2201)}, "Approaches")) < 8000


def test_words_say_what_it_shows() -> None:
    numbers = {"1900": 5, "1901": 1234, "1902": 7}
    assert described(numbers, "Approaches per year") == "Approaches per year, 1900 to 1902; most in 1901: 1,234"
    assert described({}, "Near misses") == "Near misses: none"
