"""`neo recompute`: compute the tables of stored pages again. Running the graph lives in `runner`."""

import click

from neo_assets.cli.printing import page_sets_failed, print_totals
from neo_assets.pipeline.text import first_few, quantity
from neo_assets.schema.page_sets import LANDED, name_of, page_sets_of, with_landed
from neo_assets.settings import Settings


@click.command()
@click.argument("page_sets", nargs=-1, metavar="[PAGE_SET]...")
def recompute(page_sets: tuple[str, ...]) -> None:
    """Compute all tables of page sets again from stored pages, then the totals.

    A PAGE_SET is a key such as 00000-00001, or `landed` for the landed objects. If none is given, all that are stored
    are computed. Nothing is fetched.

    Progress goes to standard error, the totals to standard output.
    """
    settings = Settings.load()
    allowed = with_landed(settings.page_sets)
    if unknown := [key for key in page_sets if key not in allowed]:
        raise click.UsageError(
            f"no such page set with NEO_PAGES={settings.pages} and NEO_PAGES_PER_SET={settings.pages_per_set}: "
            f"{first_few(unknown)}; give some of {first_few(allowed[:-1])}, or {allowed[-1]}"
        )
    from neo_assets.cli.runner import Runner
    from neo_assets.lake.raw_pages import stored_numbers
    from neo_assets.lake.storage import Storage

    stored = page_sets_of(stored_numbers(Storage(settings.lake)), settings.page_sets)
    keys = page_sets or stored
    if lacking := [name_of(key) for key in keys if key not in stored]:
        remedy = "put files into landing/, then run `neo land`" if lacking == [name_of(LANDED)] else "run `neo run`"
        raise click.ClickException(f"the lake {settings.lake} holds no pages of {first_few(lacking)}: {remedy}")
    if not keys:
        raise click.ClickException(f"the lake {settings.lake} holds no pages: run `neo run`")
    if not page_sets and (absent := [key for key in settings.page_sets if key not in stored]):
        click.echo(
            f"left out {quantity(len(absent), 'page set')} without pages in the lake ({first_few(absent)}): "
            "`neo run` fetches them",
            err=True,
        )
    with Runner(settings) as runner:
        failed = runner.recompute(keys)
        if len(failed) == len(keys):
            raise next(iter(failed.values()))
        runner.total(again=True)
        totals = runner.totals()
    print_totals(totals)
    if failed:
        raise page_sets_failed(failed, "could not be computed")
