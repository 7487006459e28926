"""`neo alert`: try the channels on which alerts go out. Sending is in `pipeline.channels`."""

import click

from neo_assets.settings import Settings


@click.group()
def alert() -> None:
    """Try the channels on which alerts go out."""


@alert.command()
def test() -> None:
    """Send one message on each channel, and say what happened.

    The exit code is 1 if a channel failed.
    """
    import logging

    from neo_assets.pipeline.channels import Message, Undelivered, channels

    settings = Settings.load()
    message = Message(
        "neo_assets: a test of the alerts",
        f"A test of the alerts of neo_assets, sent by `neo alert test`. Nothing is wrong.\nLake: {settings.lake}",
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
