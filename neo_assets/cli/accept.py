"""`neo accept`: show how the snapshot stands with the bounds, and accept what is out of them. Judging it lives in
`pipeline.accepted`.
"""

from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.bounds import BOUNDS
from neo_assets.pipeline.text import pairs
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.pipeline.accepted import Standing  # imports pyarrow, which `neo --help` does without

_MEANING = (
    "If these figures are right, `neo accept --bound NAME --reason WHY` accepts them: later snapshots are compared "
    "with them. If not, the pages or the tables are wrong: `neo run --heal` fetches inconsistent pages again, and "
    "`neo recompute` computes the tables again."
)


@click.command()
@click.option(
    "--bound",
    "names",
    multiple=True,
    type=click.Choice(list(BOUNDS)),
    metavar="NAME",
    help="A bound for which to accept the figures as they are now; may be repeated.",
)
@click.option("--reason", default="", help="Why the figures are right; it is kept with your name.")
def accept(names: tuple[str, ...], reason: str) -> None:
    """Show what is out of bounds, and accept it.

    The totals are compared with the last accepted snapshot of the same pages; docs/checks.md lists the bounds. A
    snapshot that passes all checks is accepted without you. One that is out of bounds is not, and its checks fail until
    you accept it or the data are right again. Without --bound, nothing is changed.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline import accepted
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.pipeline.totals import are_stale

    if bool(names) is not bool(reason.strip()):
        raise click.UsageError(
            "--reason is missing: say why the figures are right" if names else "--reason needs --bound: name the bounds"
        )
    settings = Settings.load()
    lake, metrics = Storage(settings.lake), Metrics.of(settings)
    if are_stale(lake, metrics, settings.page_sets):
        raise click.ClickException("the totals are out of date, so there is nothing to judge: run `neo run` first")
    standings = {one.bound.name: one for one in accepted.standings(lake, metrics, settings.page_sets)}
    chosen = [standings[name] for name in dict.fromkeys(names)]
    for one in chosen or standings.values():
        click.echo(_described(one))
    if not names and any(one.beyond for one in standings.values()):
        click.echo(_MEANING, err=True)
    if to_accept := [one for one in chosen if one.beyond or not one.accepted]:
        accepted.accept(lake, to_accept, reason)
        accepted_now = ", ".join(one.bound.name for one in to_accept)
        click.echo(f"Accepted: {accepted_now}. The checks follow when the totals are next computed.")
    elif names:
        click.echo("Nothing of this is out of bounds, so nothing was accepted.", err=True)


def _described(standing: "Standing") -> str:
    """How the snapshot stands with a bound, in one line."""
    if not standing.accepted:
        return f"{standing.bound.name}: no snapshot of {standing.now.pages} pages is accepted yet"
    last = standing.accepted
    since = f"accepted {last.at:%Y-%m-%d %H:%M} UTC by {last.who}: {last.why}"
    if not (figures := pairs(standing.beyond)):
        return f"{standing.bound.name}: within bounds ({since})"
    return f"{standing.bound.name}: OUT OF BOUNDS: {figures}; allowed: {standing.bound.allowed} ({since})"
