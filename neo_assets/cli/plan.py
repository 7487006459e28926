"""`neo plan`: what `neo run` would do. The plan itself lives in `pipeline.plan`."""

import dataclasses
import json

import click

from neo_assets.cli.printing import print_rows
from neo_assets.pipeline.text import counted, some
from neo_assets.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def plan(as_json: bool) -> None:
    """Print what `neo run` would fetch and what it costs.

    Nothing is fetched. The plan also shows whether the pages in the lake fit together, and which ones `neo run --heal`
    would fetch again.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import ENGINES
    from neo_assets.pipeline.plan import make_plan
    from neo_assets.sources.neows.source import NeoWs

    settings = Settings.load()
    with NeoWs(settings) as neows:
        plan = make_plan(settings, Storage(settings.lake), ENGINES[settings.engine](), neows)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(plan), default=str))
        return
    heal = plan.pages_to_heal
    print_rows(
        {
            "Source": plan.source,
            "Pages": f"{counted(plan.pages, 'page')} in {counted(plan.page_sets, 'page set')}",
            "Reused": f"{counted(plan.pages_reused, 'page')}, younger than {settings.raw_max_age_hours:g} hours",
            "To fetch": f"{counted(plan.pages_to_fetch, 'page')}, one request each",
            "Done": f"not before {plan.done_at:%Y-%m-%d %H:%M} UTC"
            if plan.takes_s > 1
            else "at once, within the budget",
            "Snapshot": ", ".join([plan.verdict, *plan.reasons]),
            "To heal": f"{counted(len(heal), 'page')}: {some(heal, most=20)}" if heal else "nothing",
        }
    )
