"""`neo run`: gather, compute and print the totals. Running the graph lives in `runner`."""

import click

from neo_assets.cli.printing import print_totals
from neo_assets.pipeline.text import first_few, quantity
from neo_assets.settings import Settings


@click.command()
@click.option("--heal", is_flag=True, help="Also fetch inconsistent pages again (`neo plan` lists them).")
def run(heal: bool) -> None:
    """Gather pages, compute all tables and print the totals.

    Finished work is reused: pages younger than NEO_RAW_MAX_AGE_HOURS are not fetched again, and page sets whose tables
    are up to date are skipped. A run that was stopped continues where it ended.

    Progress goes to standard error, the totals to standard output.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        failed = runner.refresh()
        runner.total()
        if heal and not failed:
            failed = runner.heal()
        totals = runner.totals()
    print_totals(totals)
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(
            f"{quantity(len(failed), 'page set')} failed ({first_few(list(failed))}); "
            f"the totals omit them or use their older data"
            f"{', and healing has stopped' if heal else ''}. First error: {first}"
        )
