"""`neo land`: take in files from the landing zone. Reading and storing them lives in `pipeline.land`."""

from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.text import quantity
from neo_assets.schema.page_sets import name_of
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.cli.runner import Landing  # imports pyarrow, which `neo --help` does without


@click.command()
def land() -> None:
    """Take in files from the lake's landing zone.

    Drop files into the directory landing/ of the lake: Browse pages as .json, or single objects, one per line, as
    .ndjson; plain or compressed (.gz, .zst). Their data is stored, then tables and totals are updated.

    Files move to archive/ afterwards. Files that cannot be read move to quarantine/landing/, with the reason in a text
    file beside them; damaged compressed files stay. Hidden files are ignored.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        landing = runner.land()
    for line in report(landing, settings) or [f"Nothing to do: no files in {settings.lake}/landing."]:
        click.echo(line)
    refused = [file.file for file in landing.files if file.is_set_aside or file.stays]
    if wrong := [*refused, *map(name_of, landing.failed)]:
        raise click.ClickException(f"could not take in or compute: {', '.join(wrong)}")


def report(landing: "Landing", settings: Settings) -> list[str]:
    """The lines to print: one for each file, and one for each page set that the files changed."""
    lines = []
    for file in landing.files:
        in_quarantine = sum(landing.quarantined[page.page] for page in file.pages)
        discarded = sum(landing.discarded[page.page] for page in file.pages)
        lines.append(f"{file.file}: {file.outcome(settings, in_quarantine, discarded)}")
    for key, lacking in landing.incomplete.items():
        lines.append(f"{name_of(key)}: not computed yet, {quantity(lacking, 'page')} missing")
    for key, error in landing.failed.items():
        lines.append(f"{name_of(key)}: FAILED: {error}")
    lines += [f"{name_of(key)}: computed" for key in landing.computed]
    if landing.totalled:
        lines.append("totals: computed")
    return [*lines, *(file.claimed for file in landing.files if file.claimed)]
