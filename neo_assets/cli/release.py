"""`neo release`: write the catalogue to a folder that can be published, if it is fit for that. What is in the folder is
decided in `products.release`; the checks are judged in `orchestration.verdicts`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neo_assets.pipeline.text import first_few, quantity
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.orchestration.verdicts import Judged  # imports Dagster, which `neo --help` does without


class NotFit(click.ClickException):
    """The data are not fit to be released. The exit code is that of `neo run --strict`."""

    exit_code = 3


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--even-if",
    type=click.Choice(["drifted"]),
    help="Release although the catalogue changed while it was gathered; the manifest and the card then say so.",
)
def release(folder: Path, even_if: str | None) -> None:
    """Write a release of the catalogue to the folder DIR.

    It holds all tables as Parquet, neo.duckdb, a dictionary of all columns, a dataset card for people and for Hugging
    Face, Croissant metadata, terms of use, a citation, and a manifest with rows and SHA-256 of each file.

    The checks of the page sets, the totals, the snapshot and the database are run again, on the lake as it is now;
    those of the age of pages, the heartbeat, the calendar and the report are left out. If one fails whose severity is
    ERROR, or the snapshot is not consistent, nothing is released, and the exit code is 3. Warnings are listed in the
    manifest.

    A release in DIR is replaced; a folder with other files is left alone. The same lake gives the same bytes.

    \b
    Examples:
      neo release neo-dataset
      neo release neo-dataset --even-if drifted
      cd neo-dataset && sha256sum -c SHA256SUMS
    """
    from neo_assets.lake.storage import LakeLacks, Storage
    from neo_assets.pipeline.catalogue import state_of_lake
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products.contents import Contents, NotOneState
    from neo_assets.products.release.about import About
    from neo_assets.products.release.files import Data
    from neo_assets.products.release.folder import Folder, Refused
    from neo_assets.products.release.manifest import write

    settings = Settings.load()
    lake, metrics = Storage(settings.lake), Metrics.of(settings)
    try:
        place = Folder(folder, lake)
        contents = Contents(lake, metrics, settings.page_sets)
        [snapshot] = contents.snapshot.to_pylist()
        if snapshot["newest_page_at"] is None:
            raise LakeLacks(f"the lake {lake.root} holds no NEOs yet: run `neo run`")
        _refuse_unless_consistent(snapshot, even_if)
        _say("Bringing the products up to date ...")
        data = Data(lake, contents)
        _say(f"Judging the checks of {quantity(snapshot['page_sets'], 'page set')} ...")
        checks = _checks(lake, metrics, settings)
        if state_of_lake(lake, settings.page_sets)[1] != snapshot["snapshot_id"]:
            raise NotOneState(f"page sets in {lake.root} changed while they were judged: run this again")
        about = About(snapshot, None if snapshot["verdict"] == "consistent" else snapshot["verdict"])
        with place:
            write(place, about, data, checks, lambda name, size: _say(f"  {name}  {size:,} bytes"))
    except Refused as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"Released {quantity(snapshot['neos'], 'NEO')} and {snapshot['close_approaches']:,} close approaches "
        f"of snapshot {about.id} to {folder}" + (" (simulated: the objects are made up)" if about.is_simulated else "")
    )


def _refuse_unless_consistent(snapshot: dict[str, Any], even_if: str | None) -> None:
    verdict, reasons = snapshot["verdict"], snapshot["reasons"]
    if verdict in ("consistent", even_if):
        return
    if verdict == "drifted":
        way_out = "`neo run --heal` fetches inconsistent pages again, and `--even-if drifted` releases it as it is"
    else:
        way_out = "`neo run` gathers what is missing; `neo quarantine list` shows records that could not be read"
    raise NotFit(f"the snapshot is {verdict} ({reasons}), so nothing is released: {way_out}")


def _checks(lake: Any, metrics: Any, settings: Settings) -> dict[str, Any]:
    """What the checks found, for the manifest. Raises `NotFit` if one fails that is an error."""
    from neo_assets.orchestration.verdicts import failing, judge

    judged = list(judge(lake, metrics, settings))
    errors = failing(judged, errors=True)
    for check, failures in errors.items():
        _say(f"  ERROR: {check}: {_described(failures)}")
    if errors:
        raise NotFit(
            f"{quantity(len(errors), 'asset check')} fail{'s' if len(errors) == 1 else ''} "
            f"({first_few(list(errors), 3)}), so nothing is released: docs/checks.md explains them; `neo recompute` "
            "computes wrong tables again, `neo accept` accepts figures that are out of bounds but right"
        )
    warnings = [
        {"check": check, "said": _described(failures)} for check, failures in failing(judged, errors=False).items()
    ]
    return {"judged": len(judged), "errors": 0, "warnings": warnings}


def _described(failures: "list[Judged]") -> str:
    """Where a check fails, with the figures of the first failure."""
    keys = [one.page_set for one in failures if one.page_set]
    where = (
        f"page set {first_few(keys, 3)}: " if len(keys) == 1 else f"page sets {first_few(keys, 3)}: " if keys else ""
    )
    return where + failures[0].figures


def _say(line: str) -> None:
    click.echo(line, err=True)
