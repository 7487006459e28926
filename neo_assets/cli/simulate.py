"""`neo simulate`: serves the simulator over HTTP. Its faults and its catalogue live in `sources.simulator`."""

from collections.abc import Callable
from typing import Any

import click


@click.command()
@click.option("--port", default=8900, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--neos", default=None, type=click.IntRange(min=1), help="Size of the catalogue; about the real one's if not given."
)
@click.option("--seed", default=None, type=int, help="Another seed, another catalogue.")
@click.option(
    "--requests-per-hour", default=None, type=click.IntRange(min=1), help="Limit each key; no limit if not given."
)
@click.option(
    "--hour",
    "hour_s",
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the limit's rolling hour.",
)
@click.option("--keys", default=None, metavar="KEY,...", help="The keys it accepts; any if not given.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Something that goes wrong; may be repeated.")
@click.option("--drift", "drifts", multiple=True, metavar="DRIFT", help="A change of the catalogue; may be repeated.")
def simulate(
    port: int, host: str, keys: str | None, faults: tuple[str, ...], drifts: tuple[str, ...], **options: Any
) -> None:
    """Serve a simulated NeoWs API over HTTP.

    Use it from another shell with NEOWS_BASE_URL and NASA_API_KEYS as printed.

    A FAULT is KIND[=VALUE][@WHEN]; without WHEN it strikes always. `slow` adds to others, of which the first given
    counts. The same seed strikes the same pages at the same attempts.

    \b
    rate-limit[=SECONDS]   429 with Retry-After, 60 if not given
    forbidden[=CODE]       403 with API_KEY_DISABLED, or _UNAUTHORIZED, _UNVERIFIED, _INVALID
    not-found              404
    error[=STATUS]         500, or 502, 504
    outage                 503 with Heroku's HTML
    html                   200 with HTML
    empty                  200 without a body
    truncated              200 with a part of the body
    cut                    the connection ends in the middle of the body
    wrong-page             200 with the page after the one asked for
    garbage-record         200 with a value in one object that cannot be read
    slow=200ms             an answer so much later; slow=100-300ms for somewhere between
    timeout                no answer until the client gives up
    reset                  the connection is reset

    \b
    @5%                    5% of the requests
    @50-60                 from the 50th to the 60th request; @50- for all from there on
    @page=7                whenever page 7 is asked for; @page=7x2 for the first 2 times
    @key=abc               whatever this key asks for

    A DRIFT is KIND[=VALUE]@WHEN, where WHEN is the running number of a request (@400), or the time since the first one
    (@30s).

    \b
    grow=30                30 objects come to the end
    insert=7               7 objects come before all others
    reorder                all objects change places
    number=5%              5% of the provisional objects are numbered, and change their ids

    \b
    neo simulate --fault slow=100ms --fault error@5% --fault outage@50-60 --fault truncated@page=7
    neo simulate --drift insert=7@100 --drift reorder@400 --keys one,two --requests-per-hour 100 --hour 60
    """
    from neo_assets.sources.simulator.app import create_app, serve
    from neo_assets.sources.simulator.catalogue import Catalogue
    from neo_assets.sources.simulator.profile import Fault, PlannedDrift, ProfileError

    catalogue = Catalogue(**{name: options[name] for name in ("neos", "seed") if options[name] is not None})
    accepted = [key.strip() for key in keys.split(",") if key.strip()] if keys is not None else None

    def planned(option: str, read: Callable[[str], Any], texts: tuple[str, ...]) -> list[Any]:
        try:
            return [read(text) for text in texts]
        except ProfileError as error:
            raise click.ClickException(f"{option} {error}") from None

    app = create_app(
        catalogue,
        keys=accepted,
        requests_per_hour=options["requests_per_hour"],
        hour_s=options["hour_s"],
        faults=planned("--fault", Fault.parse, faults),
        drifts=planned("--drift", PlannedDrift.parse, drifts),
    )

    def announce(url: str) -> None:
        click.echo(f"A simulated NeoWs of {catalogue.neos:,} NEOs answers at {url}; stop it with Ctrl-C. Use it with")
        click.echo(f"  NEOWS_BASE_URL={url} NASA_API_KEYS={','.join(accepted or ['simulated'])} neo run")

    try:
        serve(app, host, port, announce=announce)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror or error}; give another --port"
        ) from None
