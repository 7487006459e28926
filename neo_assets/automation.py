"""Jobs, schedules and sensors: when the graph runs by itself. What it does then lives in `assets`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

TOTALS = dg.AssetSelection.assets("total_near_misses", "total_yearly_approaches", "snapshot")
STATS = dg.AssetSelection.assets("catalogue_stats")


def automation(page_sets: dg.StaticPartitionsDefinition) -> dict[str, Any]:
    """The `jobs`, `schedules` and `sensors` of the code location.

    - job `page_set`: everything above the totals, for one page set; job `recompute`: the same from the stored pages.
    - job `totals`: the two totals and the snapshot's verdict, from the lake alone; job `stats`: what NeoWs says of
      itself.
    - schedule `daily_refresh`: every page set once a day, one run each, as NeoWs renews its data about daily. Off at
      first.
    - sensor `totals_follow_page_sets`: computes the totals again when page sets were counted anew and none is missing.
    """
    page_set = dg.define_asset_job(
        "page_set",
        selection=dg.AssetSelection.all() - TOTALS - STATS,
        partitions_def=page_sets,
        description="Pages in, counts out, for one page set.",
    )
    recompute = dg.define_asset_job(
        "recompute",
        selection=dg.AssetSelection.groups("silver", "gold") - TOTALS,
        partitions_def=page_sets,
        description="Stored pages in, counts out, for one page set; nothing is fetched.",
    )
    stats = dg.define_asset_job("stats", selection=STATS, description="What NeoWs says of its whole catalogue.")
    totals = dg.define_asset_job(
        "totals", selection=TOTALS, description="The totals and the verdict over all page sets that are there."
    )

    @dg.schedule(cron_schedule="0 6 * * *", job=page_set, execution_timezone="UTC")
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        """Every page set once a day, one run each."""
        day = context.scheduled_execution_time.date().isoformat()
        for key in page_sets.get_partition_keys():
            yield dg.RunRequest(run_key=f"{day} {key}", partition_key=key)

    follow = dg.AutomationConditionSensorDefinition(
        "totals_follow_page_sets", target=TOTALS, default_status=dg.DefaultSensorStatus.RUNNING
    )
    return {"jobs": [page_set, recompute, totals, stats], "schedules": [daily_refresh], "sensors": [follow]}
