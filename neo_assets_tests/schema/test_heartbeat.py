"""A heartbeat and a row of its table are the same."""

from dataclasses import fields

from neo_assets.schema.heartbeat import NOT_ASKED, OK, OUT_OF_ORDER, OVER_LIMIT, REFUSED, Heartbeat
from neo_assets.schema.heartbeat_table import HEARTBEAT


def test_the_value_has_the_fields_of_a_row() -> None:
    assert [one.name for one in fields(Heartbeat)] == HEARTBEAT.schema.names
    missing = {one.name for one in fields(Heartbeat) if one.default is None}
    assert missing == {one.name for one in HEARTBEAT.columns if one.nullable}


def test_the_statuses_are_an_interface() -> None:
    [status] = [one for one in HEARTBEAT.columns if one.name == "status"]
    assert status.choices == (OK, OUT_OF_ORDER, REFUSED, OVER_LIMIT, NOT_ASKED)
    assert status.choices == ("ok", "out of order", "refused", "over the limit", "not asked")
