"""`neo quarantine`: list unreadable records, read them again, or give them up. Finding and discarding them lives in
`pipeline.quarantine`.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.pipeline.quarantine import Quarantined  # imports pyarrow, which `neo --help` does without

_SHOWN = 12
"""Characters of a record's id that are shown; any unique start of it is accepted."""


@click.group()
def quarantine() -> None:
    """List unreadable records, read them again, or give them up."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per record, with the record itself.")
@click.option("--discarded", is_flag=True, help="List the records that were discarded instead, each with the reason.")
def list_quarantine(as_json: bool, discarded: bool) -> None:
    """List the records in quarantine: id, place, reason, stored page."""
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.quarantine import discards, quarantined

    settings = Settings.load()
    lake = Storage(settings.lake)
    given_up = list(discards(lake))
    if discarded:
        for one in given_up:
            line = f"{_named(one.was)}: {one.was.reason}; discarded {one.at:%Y-%m-%d %H:%M} UTC: {one.why}"
            click.echo(json.dumps(dataclasses.asdict(one), default=str) if as_json else line)
        if not given_up:
            click.echo("No record was discarded.", err=True)
        return
    records = quarantined(lake, settings.page_sets)
    for record in records:
        line = f"{_named(record)}: {record.reason} ({lake.location(record.path)})"
        click.echo(json.dumps(dataclasses.asdict(record)) if as_json else line)
    if not records:
        click.echo("The quarantine is empty.", err=True)
    if given_up:
        were = f"{quantity(len(given_up), 'record')} {'was' if len(given_up) == 1 else 'were'}"
        click.echo(f"{were} discarded: `neo quarantine list --discarded` shows them.", err=True)


@quarantine.command()
def replay() -> None:
    """Read page sets with quarantined records again.

    Use it after the program or the data was fixed. Nothing is fetched: the stored pages are read again, and tables and
    totals are updated. What changed in the quarantine is printed.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.quarantine import quarantined

    settings = Settings.load()
    lake = Storage(settings.lake)
    before = quarantined(lake, settings.page_sets)
    failed = _compute(settings, before)
    after = quarantined(lake, settings.page_sets)
    click.echo(f"{quantity(len(before), 'record')} in quarantine before, {len(after)} now.")
    old, new = ({(one.id, one.page, one.index): one for one in records} for records in (before, after))
    for key, record in old.items():
        if key not in new:
            click.echo(f"no longer in quarantine: {_named(record)}")
    for key, record in new.items():
        if key not in old or old[key].reason != record.reason:
            click.echo(f"{'new reason' if key in old else 'new in quarantine'}: {_named(record)}: {record.reason}")
    _report(failed)


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="Discard every record in quarantine.")
@click.option("--reason", required=True, help="Why the records are given up; it is kept with them.")
def discard(ids: tuple[str, ...], every: bool, reason: str) -> None:
    """Give up records in quarantine.

    An ID is the start of a record's id, as `neo quarantine list` prints it. The records leave the list and the verdict
    for good, also after their page was read or landed again; `neo quarantine list --discarded` shows them. If a later
    version of the program can read one, it counts nevertheless.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline import quarantine

    if bool(ids) is every:
        raise click.UsageError("give the ids of the records, or --all")
    if not reason.strip():
        raise click.UsageError("--reason is empty: say why the records are given up")
    settings = Settings.load()
    lake = Storage(settings.lake)
    found = quarantine.quarantined(lake, settings.page_sets)
    named = [record for start in ids for record in _starting_with(start, found)]
    chosen = found if every else list(dict.fromkeys(named))  # an id may be given twice
    if chosen:
        quarantine.discard(lake, chosen, reason)
    failed = _compute(settings, chosen)
    click.echo(f"{quantity(len(chosen), 'record')} discarded, {len(found) - len(chosen)} left in quarantine.")
    _report(failed)


def _named(record: "Quarantined") -> str:
    return f"{record.id[:_SHOWN]} {record.place}"


def _starting_with(start: str, records: "Sequence[Quarantined]") -> "list[Quarantined]":
    """The records with this id; several if the same record is in quarantine several times."""
    found = [record for record in records if record.id.startswith(start)]
    if len({record.id for record in found}) == 1:
        return found
    problem = f"several records start with {start}: give more of the id" if found else f"no record starts with {start}"
    raise click.ClickException(f"{problem} (`neo quarantine list` shows all)")


def _compute(settings: Settings, records: "Iterable[Quarantined]") -> Mapping[str, Exception]:
    """Compute the page sets of these records, and the totals. Returns the page sets that failed, with their errors."""
    from neo_assets.cli.runner import Runner

    if not (keys := sorted({record.page_set for record in records})):
        return {}
    with Runner(settings) as runner:
        failed = runner.recompute(keys)
        runner.total()
    return failed


def _report(failed: Mapping[str, Exception]) -> None:
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(f"{quantity(len(failed), 'page set')} could not be read again; first error: {first}")
