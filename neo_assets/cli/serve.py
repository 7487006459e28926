"""`neo serve`: the read API on a port. What it answers is decided in `api`."""

import contextlib
import socket
import tempfile
from importlib.util import find_spec

import click

from neo_assets.cli.importing import without_collection

_LONGEST_GOODBYE_S = 10
"""So long the server waits, when it stops, for clients that are still reading."""

_LONGEST_SILENCE_S = 60
"""A worker that does not answer its parent for so long is replaced; on a busy machine, five seconds are nothing."""

_LONGEST_MESSAGE = 1_024
"""Bytes of a message over a WebSocket; what clients send is not used."""

_PING_EVERY_S = 15.0
_DEAD_AFTER_MS = 30_000
"""A connection whose client takes nothing for so long is closed by the system."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65_535), help="The port.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
def serve(host: str, port: int, workers: int) -> None:
    """Serve the products over HTTP, to programs and people.

    It reads the products only. With NEO_API_TOKEN set, those who have the token can also order reports and put files
    into the landing zone. A new snapshot is taken up whole within seconds. Ctrl-C ends it.

    \b
    Examples:
      neo serve
      curl "http://127.0.0.1:8080/v1/upcoming?fields=name,close_approach_at,miss_distance_ld"
      curl "http://127.0.0.1:8080/v1/close-approaches?body=Earth&dist-max=1LD&sort=-dist&format=csv"
      xdg-open http://127.0.0.1:8080/
      curl -N http://127.0.0.1:8080/events
    """
    from neo_assets.lake import layout
    from neo_assets.lake.storage import Storage
    from neo_assets.products.database import DATABASE
    from neo_assets.settings import Settings, share_metrics

    settings = Settings.load()
    if missing := [
        name for name in ("fastapi_offline", "prometheus_client", "starlette_compress") if not find_spec(name)
    ]:
        raise click.ClickException(f"{missing[0]} is not installed: run `.venv/bin/pip install -e '.[serve]'`")

    with without_collection():
        import uvicorn

        from neo_assets.api.server import Protocol, connections
        from neo_assets.cli.workers import Workers
        from neo_assets.sources.simulator.app import bind

    config = uvicorn.Config(
        "neo_assets.cli.served:from_settings",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_config=None if settings.log == "json" else uvicorn.config.LOGGING_CONFIG,
        log_level="warning",  # with NEO_LOG=json, the API logs requests; the server's lines would have queries
        access_log=False,  # even unwritten, a line for each answer costs time
        server_header=False,
        http=Protocol,
        limit_concurrency=connections(),
        timeout_graceful_shutdown=_LONGEST_GOODBYE_S,
        timeout_worker_healthcheck=_LONGEST_SILENCE_S,
        ws_max_size=_LONGEST_MESSAGE,
        ws_ping_interval=_PING_EVERY_S,
        ws_per_message_deflate=False,
    )
    try:
        listener = bind(host, port)
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error}; give another --port or --host") from None
    if not Storage(settings.lake).versions([layout.product(DATABASE)]):
        click.echo(
            f"{settings.lake} has no database yet: run `neo run`, then `neo tables`. Until then, the answer is 503.",
            err=True,
        )
    with listener, contextlib.ExitStack() as stack:
        listener.set_inheritable(True)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        where = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        click.echo(
            f"Serving the products in {settings.lake} at {where}; {where}/ shows what comes next, "
            f"{where}/docs describes all paths. Ctrl-C stops it."
        )
        with contextlib.suppress(KeyboardInterrupt):
            if workers > 1:
                share_metrics(stack.enter_context(tempfile.TemporaryDirectory(prefix="neo-metrics-")))
                Workers(config, [listener]).run()
            else:
                with without_collection():
                    config.load()  # imports the API
                uvicorn.Server(config).run(sockets=[listener])
