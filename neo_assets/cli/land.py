"""`neo land`: files from the landing zone into the lake. How they are taken in lives in `pipeline.land`."""

from collections import Counter

import click

from neo_assets.cli.printing import name_of
from neo_assets.pipeline.text import counted
from neo_assets.settings import Settings


@click.command()
def land() -> None:
    """Take in the files in the lake's landing zone.

    Browse pages (.json) and objects, one a line (.ndjson), plain or compressed (.gz, .zst), are stored and computed.
    The files move to the archive; those that cannot be read move to quarantine/landing, with the reason beside them.
    Hidden files are left alone.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner
    from neo_assets.pipeline.quarantine import quarantined

    with Runner(settings) as runner:
        landing = runner.land()
    in_quarantine = Counter(quarantined(settings)["page"].to_pylist() if landing.computed else [])
    for file in landing.files:
        click.echo(file.line(settings, sum(in_quarantine[page.page] for page in file.pages)))
    for key, lacking in landing.incomplete.items():
        click.echo(f"{name_of(key)}: not computed yet, as it lacks {counted(lacking, 'page')}")
    for key in landing.computed:
        click.echo(f"{name_of(key)}: computed")
    for key, error in landing.failed.items():
        click.echo(f"{name_of(key)}: FAILED: {error}")
    if landing.computed:
        click.echo("totals: computed")
    if not landing.files and not landing.computed and not landing.failed:
        click.echo(f"Nothing to do: no file waits in {settings.lake}/landing.")
    for file in landing.files:
        if file.claimed:
            click.echo(file.claimed)
    set_aside = [file.file for file in landing.files if file.is_set_aside]
    if wrong := [*set_aside, *map(name_of, landing.failed)]:
        raise click.ClickException(f"not taken in, or not computed: {', '.join(wrong)}")
