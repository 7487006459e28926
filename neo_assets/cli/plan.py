"""`neo plan`: print what `neo run` would do. Making the plan lives in `pipeline.plan`."""

import dataclasses
import json

import click

from neo_assets.cli.printing import print_rows
from neo_assets.pipeline.text import first_few, quantity
from neo_assets.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def plan(as_json: bool) -> None:
    """Show what `neo run` would fetch, and how long it would take.

    Nothing is fetched or changed. The plan also shows whether the stored pages are consistent, and which pages
    `neo run --heal` would fetch again.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.pipeline.plan import make_plan
    from neo_assets.sources.neows.source import NeoWs

    settings = Settings.load()
    with NeoWs(settings) as neows:
        plan = make_plan(settings, Storage(settings.lake), Metrics.of(settings), neows)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(plan), default=str))
        return
    heal = plan.pages_to_heal
    print_rows(
        {
            "Source": plan.source,
            "Pages": f"{quantity(plan.pages, 'page')} in {quantity(plan.page_sets, 'page set')}",
            "Reused": f"{quantity(plan.pages_reused, 'page')}, younger than {settings.raw_max_age_hours:g} hours",
            "To fetch": f"{quantity(plan.pages_to_fetch, 'page')}, one request each",
            "To compute": quantity(plan.page_sets_to_compute, "page set"),
            "Done": f"not before {plan.done_at:%Y-%m-%d %H:%M} UTC"
            if plan.takes_s > 1
            else "at once, within the budget",
            "Snapshot": ", ".join([plan.verdict, *plan.reasons]),
            "To heal": (f"{quantity(len(heal), 'page')}: {first_few(heal, at_most=20)}" if heal else "nothing")
            + (" so far; the page sets to compute may add some" if plan.page_sets_to_compute else ""),
        }
    )
