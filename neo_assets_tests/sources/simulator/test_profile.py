"""The notation of faults and drifts: what it can express, and the errors for invalid text."""

import re

import pytest
from click.testing import CliRunner

from neo_assets.cli.main import neo
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets.sources.simulator.profile import DRIFTS, FAULTS, Fault, PlannedDrift, ProfileError


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("outage", Fault("outage")),
        ("error@5%", Fault("error", "500", share=0.05)),
        ("error=502@0.5%", Fault("error", "502", share=0.005)),
        ("reset@100%", Fault("reset")),
        ("outage@50-60", Fault("outage", first=50, last=60)),
        ("outage@50-", Fault("outage", first=50)),
        ("truncated@page=7", Fault("truncated", page=7)),
        ("empty@page=0x2", Fault("empty", page=0, times=2)),
        ("forbidden@key=abc", Fault("forbidden", "API_KEY_DISABLED", key="abc")),
        ("forbidden=API_KEY_UNVERIFIED", Fault("forbidden", "API_KEY_UNVERIFIED")),
        ("rate-limit", Fault("rate-limit", "60")),
        ("rate-limit=2@page=3", Fault("rate-limit", "2", page=3)),
        ("slow=200ms", Fault("slow", "200ms")),
        ("slow=100-300ms@10%", Fault("slow", "100-300ms", share=0.1)),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "drift"),
    [
        ("reorder@400", PlannedDrift("reorder", request=400)),
        ("grow=30@200", PlannedDrift("grow", "30", request=200)),
        ("insert=7@0.5s", PlannedDrift("insert", "7", seconds=0.5)),
        ("number=5%@30s", PlannedDrift("number", "5%", seconds=30)),
    ],
)
def test_a_drift_is_read(text: str, drift: PlannedDrift) -> None:
    assert PlannedDrift.parse(text) == drift


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eror@5%", "there is no kind 'eror'; give one of rate-limit, forbidden, not-found, error, "),
        ("", "there is no kind ''; give one of rate-limit, "),
        ("outage=3", "outage takes no value; give outage alone"),
        ("slow", "slow needs a value; give slow=VALUE, where VALUE is a time in milliseconds, such as 200ms or "),
        ("slow=2s", "'2s' is not a valid value of slow; give a time in milliseconds, such as 200ms or 100-300ms"),
        ("error=501", "'501' is not a valid value of error; give 500, 502 or 504"),
        ("error=", "'' is not a valid value of error; give 500, 502 or 504"),
        ("forbidden=WHY", "'WHY' is not a valid value of forbidden; give API_KEY_DISABLED, "),
        ("rate-limit=0", "'0' is not a valid value of rate-limit; give a number of seconds for Retry-After"),
        ("error@5", "'5' is not a valid WHEN of a fault; give 5% (of all requests), 50-60 ("),
        ("error@", "'' is not a valid WHEN of a fault; give 5% "),
        ("error@101%", "'101%' is not a valid WHEN of a fault; give 5% "),
        ("error@5%@50-60", "'5%@50-60' is not a valid WHEN of a fault; give 5% "),
        ("error@page=7x0", "'page=7x0' is not a valid WHEN of a fault; give 5% "),
        ("error@60-50", "60-50 ends before it begins; give 5% "),
    ],
)
def test_an_invalid_fault_is_reported_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(f"{text}: {message}")) as caught:
        Fault.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rotate@3", "there is no kind 'rotate'; give one of grow, insert, reorder, number"),
        ("reorder", "a drift needs @WHEN; give 400 (at the 400th request) or 30s "),
        ("reorder@soon", "'soon' is not a valid WHEN of a drift; give 400 "),
        ("reorder@0", "'0' is not a valid WHEN of a drift; give 400 "),
        ("grow@4", "grow needs a value; give grow=VALUE, where VALUE is the number of objects to add at the end"),
        ("number=0.5@3", "'0.5' is not a valid value of number; give the share of the provisional objects to be "),
    ],
)
def test_an_invalid_drift_is_reported_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(f"{text}: {message}")) as caught:
        PlannedDrift.parse(text)
    assert "\n" not in str(caught.value)


def test_a_drift_changes_the_catalogue_accordingly() -> None:
    small = Catalogue(neos=45)
    drifted = {text: PlannedDrift.parse(f"{text}@1").drifted(small) for text in ("grow=3", "insert=3", "number=50%")}
    assert drifted == {"grow=3": small.grown(3), "insert=3": small.inserted(3), "number=50%": small.numbered(0.5)}
    once = PlannedDrift.parse("reorder@1").drifted(small)
    again = PlannedDrift.parse("reorder@1").drifted(once)
    orders = [[catalogue.identity(place).id for place in range(45)] for catalogue in (small, once, again)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len({tuple(order) for order in orders}) == 3


def test_the_help_describes_every_kind() -> None:
    ended = CliRunner().invoke(neo, ["simulate", "--help"]).output
    for kind in (*FAULTS, *DRIFTS):
        assert re.search(rf"^  {kind}[ =\[]", ended, re.MULTILINE), kind
    examples = re.findall(r"--(fault|drift) (\S+)", "\n".join(re.findall(r"^  neo simulate .*", ended, re.MULTILINE)))
    assert len(examples) == 6
    for option, text in examples:
        (Fault if option == "fault" else PlannedDrift).parse(text)


@pytest.mark.parametrize(("option", "text"), [("--fault", "eror@5%"), ("--drift", "rotate@3")])
def test_the_command_names_the_option_that_cannot_be_read(option: str, text: str) -> None:
    ended = CliRunner().invoke(neo, ["simulate", "--port", "0", option, text])
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: {option} {text}: there is no kind ")
    assert ended.output.count("\n") == 1
