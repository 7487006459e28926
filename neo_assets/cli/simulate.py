"""`neo simulate`: serve the simulator over HTTP. The simulator itself lives in `sources.simulator`."""

from collections.abc import Callable
from typing import Any

import click


@click.command()
@click.option(
    "--port",
    default=8900,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--neos",
    default=None,
    type=click.IntRange(min=1),
    help="Number of NEOs in the catalogue.  [default: about as many as NASA has]",
)
@click.option(
    "--seed", default=None, type=int, help="Seed of the catalogue and the faults: the same seed gives the same ones."
)
@click.option(
    "--requests-per-hour",
    default=None,
    type=click.IntRange(min=1),
    help="Requests that each key may send in an hour.  [default: no limit]",
)
@click.option(
    "--hour",
    "hour_s",
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the rate limit's rolling hour, to shorten it for tests; responses then state it.",
)
@click.option("--keys", default=None, metavar="KEY,...", help="API keys to accept.  [default: any]")
@click.option(
    "--fault", "faults", multiple=True, metavar="FAULT", help="A fault to simulate, as above; may be repeated."
)
@click.option(
    "--drift", "drifts", multiple=True, metavar="DRIFT", help="A change of the catalogue, as above; may be repeated."
)
def simulate(
    port: int, host: str, keys: str | None, faults: tuple[str, ...], drifts: tuple[str, ...], **options: Any
) -> None:
    """Serve a simulated NeoWs API over HTTP.

    Use it from another shell, with NEOWS_BASE_URL and NASA_API_KEYS set as printed.

    A FAULT is KIND[=VALUE][@WHEN]; without WHEN, it affects every request. If several faults match a request, the first
    one given applies; `slow` applies in addition. With the same seed, the same attempts at the same pages fail.

    \b
    rate-limit[=SECONDS]   429 with Retry-After (default: 60)
    forbidden[=CODE]       403 with API_KEY_DISABLED (default), or _UNAUTHORIZED, _UNVERIFIED, _INVALID
    not-found              404
    error[=STATUS]         500 (default), 502 or 504
    outage                 503 with Heroku's HTML
    html                   200 with HTML
    empty                  200 without a body
    truncated              200 with the first part of the body only
    cut                    the connection closes in the middle of the body
    wrong-page             200 with the page after the requested one
    garbage-record         200 with an unreadable value in one object
    slow=200ms             the response is delayed by that long; slow=100-300ms by a random time
    timeout                no response until the client gives up
    reset                  the connection is reset

    \b
    @5%                    5% of requests
    @50-60                 the 50th to the 60th request; @50- for the 50th and all later ones
    @page=7                requests for page 7; @page=7x2 for the first 2 of them
    @key=abc               requests with this key

    A DRIFT is KIND[=VALUE]@WHEN, where WHEN is the number of a request (@400), or the time since the first request
    (@30s).

    \b
    grow=30                add 30 objects at the end
    insert=7               insert 7 objects at the start
    reorder                shuffle all objects
    number=5%              number 5% of the provisional objects, which changes their ids

    Examples:

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
        click.echo(
            f"Serving a simulated NeoWs of {catalogue.neos:,} NEOs at {url}; stop it with Ctrl-C. To use it, run"
        )
        click.echo(f"  NEOWS_BASE_URL={url} NASA_API_KEYS={','.join(accepted or ['simulated'])} neo run")

    try:
        serve(app, host, port, announce=announce)
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error}; give another --port or --host") from None
