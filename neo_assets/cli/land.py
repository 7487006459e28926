"""`neo land`: files from the landing zone into the lake. How they are taken in lives in `pipeline.land`."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from neo_assets.cli.printing import name_of
from neo_assets.pipeline.text import counted
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.cli.runner import Landing  # imports Dagster, which `neo --help` does without


@click.command()
def land() -> None:
    """Take in the files in the lake's landing zone.

    Browse pages (.json) and objects, one a line (.ndjson), plain or compressed (.gz, .zst), are stored and computed.
    The files move to the archive; those that cannot be read move to quarantine/landing, with the reason beside them.
    Hidden files are left alone.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        landing = runner.land()
    for line in report(landing, settings) or [f"Nothing to do: no file waits in {settings.lake}/landing."]:
        click.echo(line)
    set_aside = [file.file for file in landing.files if file.is_set_aside]
    if wrong := [*set_aside, *map(name_of, landing.failed)]:
        raise click.ClickException(f"not taken in, or not computed: {', '.join(wrong)}")


def report(landing: "Landing", settings: Settings) -> list[str]:
    """A line for each file, and one for each page set that it changed."""
    bad = Counter(landing.quarantined)
    lines = [
        f"{file.file}: {file.outcome(settings, sum(bad[page.page] for page in file.pages))}" for file in landing.files
    ]
    for key, lacking in landing.incomplete.items():
        lines.append(f"{name_of(key)}: not computed yet, as it lacks {counted(lacking, 'page')}")
    for key, error in landing.failed.items():
        lines.append(f"{name_of(key)}: FAILED: {error}")
    if landing.computed:
        lines += [f"{name_of(key)}: computed" for key in landing.computed]
        lines.append("totals: computed")
    return [*lines, *(file.claimed for file in landing.files if file.claimed)]
