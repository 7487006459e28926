"""Asset checks: what proves the data of a page set, and of the totals. How the data is made stands in `assets`."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow.compute as pc
import pyarrow.dataset as ds

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
