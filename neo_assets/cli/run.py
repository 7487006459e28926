"""`neo run`: gathers, computes and prints the totals. What it runs lives in `runner`."""

import click

from neo_assets.cli.printing import print_totals
from neo_assets.pipeline.text import counted, some
from neo_assets.settings import Settings


@click.command()
@click.option("--heal", is_flag=True, help="Fetch pages again that do not fit the others, as `neo plan` lists them.")
def run(heal: bool) -> None:
    """Gather every page set, compute everything, print the totals.

    Finished work is kept: pages younger than NEO_RAW_MAX_AGE_HOURS are not fetched again, and page sets whose tables
    are up to date with them are skipped. Progress goes to standard error, the totals to standard output.
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
            f"{counted(len(failed), 'page set')} failed, so the totals lack them or hold their earlier state"
            f"{', and nothing more is healed' if heal else ''}: {some(list(failed))}; the first one: {first}"
        )
