"""`neo alert`: what is wrong now, and a test of the channels on which alerts go out. Alerts are sent by the sensor in
`orchestration.alerts`.
"""

import click

from neo_assets.settings import Settings


@click.group()
def alert() -> None:
    """See what is wrong now, and test the alerts."""


@alert.command("list")
def list_incidents() -> None:
    """List open incidents, and channels that do not take messages.

    Messages wait for such a channel until a week after the incident is over; then they are dropped.

    Dagster's sensor `alerts` looks for incidents every 30 seconds, while `make dev` or Dagster's daemon is running.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.incidents import read

    state = read(Storage(Settings.load().lake))
    for one in state.open:
        click.echo(f"{one.began_at:%Y-%m-%d %H:%M} UTC  {one.kind}: {one.what}: {one.reason} ({one.where})")
    if not state.open:
        click.echo(
            "No incident is open, as far as the sensor `alerts` has seen: it looks while `make dev` or the daemon is "
            "running.",
            err=True,
        )
    for failure in state.failures:
        click.echo(f"Messages wait, at most until a week after the incident is over: {failure}", err=True)


@alert.command()
def test() -> None:
    """Send one message on each channel, and say what happened.

    The exit code is 1 if a channel failed.
    """
    import logging

    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.channels import Message, Undelivered, channels

    settings = Settings.load()
    message = Message(
        "neo_assets: a test of the alerts",
        f"A test of the alerts of neo_assets, sent by `neo alert test`. Nothing is wrong.\n"
        f"Lake: {Storage(settings.lake).root}",
        good=True,
    )
    failed = list[str]()
    for channel in channels(settings, logging.getLogger("neo_assets")):
        try:
            channel.send(message)
        except Undelivered as error:
            failed.append(channel.name)
            click.echo(f"{channel.name}: {error}")
        else:
            click.echo(f"{channel.name}: delivered to {channel.where}")
    if not settings.alert_webhook and not settings.alert_smtp:
        click.echo("Alerts go to the log only: set NEO_ALERT_WEBHOOK, or NEO_ALERT_SMTP and NEO_ALERT_TO.", err=True)
    if failed:
        raise click.ClickException(f"not delivered: {', '.join(failed)}")
