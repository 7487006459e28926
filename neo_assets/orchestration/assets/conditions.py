"""When assets are made by themselves: the automation conditions of totals and of products. The sensors that evaluate
them live in `orchestration.automation`.
"""

from typing import Any

import dagster as dg

from neo_assets.orchestration.assets.landed import LANDED_OBJECTS


def follows_page_sets(*required: str) -> dg.AutomationCondition[Any]:
    """Run when an upstream asset has changed and none of the required ones lacks a page set, and also once a day:
    Dagster loses an update that arrives in the same tick as the one before
    (https://github.com/dagster-io/dagster/issues/33587).

    The other assets are optional: an update of theirs starts a run, but no run waits for them. Landed objects do not
    wait for page sets either, as a lake may hold nothing else.
    """
    missing = dg.AutomationCondition.any_deps_missing()
    required_missing = missing.allow(dg.AssetSelection.assets(*required))
    at_noon = dg.AutomationCondition.cron_tick_passed("0 12 * * *")
    updated = dg.AutomationCondition.any_deps_updated()
    landed = updated.allow(dg.AssetSelection.assets(LANDED_OBJECTS)).since_last_handled()
    idle = ~dg.AutomationCondition.in_progress()
    page_sets = dg.AutomationCondition.eager().replace(missing, required_missing)
    return page_sets | (at_noon & ~required_missing & idle) | (landed & idle)


def follows_totals(*upstream: str) -> dg.AutomationCondition[Any]:
    """Run when one of these has changed, none is missing and none is being made; and once a day, as Dagster loses an
    update that arrives in the same tick as the one before (https://github.com/dagster-io/dagster/issues/33587).

    The tables of page sets change before them, and start nothing.
    """
    followed = dg.AssetSelection.assets(*upstream)
    missing = dg.AutomationCondition.any_deps_missing().allow(followed)
    after_noon = dg.AutomationCondition.cron_tick_passed("15 12 * * *")
    idle = ~dg.AutomationCondition.in_progress()
    return dg.AutomationCondition.eager().allow(followed) | (after_noon & ~missing & idle)
