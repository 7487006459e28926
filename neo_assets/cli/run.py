"""`neo run`: gather, compute and print the totals. Running the graph lives in `runner`."""

import click

from neo_assets.cli.printing import page_sets_failed, print_totals
from neo_assets.schema.page_sets import MAX_PAGES
from neo_assets.settings import Settings


@click.command()
@click.option("--heal", is_flag=True, help="Also fetch inconsistent pages again (`neo plan` lists them).")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON object instead of a table.")
@click.option("--pages", type=click.IntRange(1, MAX_PAGES), help="Browse pages to cover, instead of NEO_PAGES.")
@click.option("--strict", is_flag=True, help="End with exit code 3 unless the snapshot is consistent.")
def run(heal: bool, as_json: bool, pages: int | None, strict: bool) -> None:
    """Gather pages, compute all tables and print the totals.

    Finished work is reused: pages younger than NEO_RAW_MAX_AGE_HOURS are not fetched again, page sets whose tables are
    up to date are skipped, and a lake in which nothing has changed is not written to. A run that was stopped continues
    where it ended.

    Progress goes to standard error, the totals to standard output.
    """
    settings = Settings.load()
    if pages:
        settings = settings.model_copy(update={"pages": pages})
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        failed = runner.refresh()
        runner.total()
        if heal and not failed:
            failed = runner.heal()
        totals = runner.totals()
    print_totals(totals, as_json)
    if failed:
        raise page_sets_failed(failed, "failed", ", and healing has stopped" if heal else "")
    if strict and totals.verdict != "consistent":
        raise _NotConsistent(f"the snapshot is {totals.verdict}: {', '.join(totals.reasons)}")


class _NotConsistent(click.ClickException):
    """What `--strict` was asked to report."""

    exit_code = 3
