"""The audit's columns, defined once. The tables of the data are in `tables`; writing and reading the audit lives in
`pipeline.audit`.
"""

import pyarrow as pa

from neo_assets.schema.columns import Column, Table

QUEUED, PROCESSING, SUCCESS, FAILED = "queued", "processing", "success", "failed"
"""What the audit says of a run, a materialization or a check."""

NOT_REACHED = "not done: the run ended before it was reached"
"""The error of a materialization or a check that a failed run planned, and whose step did not begin or end."""

RUN, MATERIALIZATION, CHECK = "run", "materialization", "check"
"""What a row of the audit is about."""

_TIME = pa.timestamp("us", "UTC")

AUDIT = Table(
    "audit",
    "What was done in the lake, by whom, and with what outcome: one row per run, materialization and asset check.",
    (
        Column("run_id", pa.string(), "Dagster's id of the run."),
        Column(
            "job", pa.string(), "The job that ran, such as `page_set`; Dagster's own name for a selection of assets."
        ),
        Column("kind", pa.string(), "What the row is about: `run`, `materialization` or `check`."),
        Column("asset", pa.string(), "The asset made or checked; null for a run.", nullable=True),
        Column("check", pa.string(), "The asset check; null for a run or a materialization.", nullable=True),
        Column("page_set", pa.string(), "Key of the page set; null where there is none.", nullable=True),
        Column(
            "launched_by",
            pa.string(),
            "Who or what launched the run: a command, a schedule, a sensor, a backfill or Dagster's UI.",
        ),
        Column("account", pa.string(), "Account and machine of the process that executed the run: `user@machine`."),
        Column(
            "status",
            pa.string(),
            "`queued`: planned; `processing`: begun; `success`; `failed`. A check that did not pass has failed.",
        ),
        Column("severity", pa.string(), "`ERROR` or `WARN` for a check that has run; null otherwise.", nullable=True),
        Column("queued_at", _TIME, "When the run was created.", "UTC"),
        Column("started_at", _TIME, "When the run or the step began; null if it did not.", "UTC", nullable=True),
        Column(
            "ended_at", _TIME, "When the run ended, the table was stored or the check judged.", "UTC", nullable=True
        ),
        Column("seconds", pa.float64(), "From `started_at` to `ended_at`.", "s", nullable=True),
        Column(
            "rows_in",
            pa.int64(),
            "Rows of the tables that the step loaded, made in the same run; for pages, their NEOs.",
            "rows",
            nullable=True,
        ),
        Column("rows_out", pa.int64(), "Rows of the table made; for pages, their NEOs.", "rows", nullable=True),
        Column("pages_fetched", pa.int64(), "Pages fetched from the source.", "pages", nullable=True),
        Column("pages_reused", pa.int64(), "Stored pages that were young enough.", "pages", nullable=True),
        Column(
            "requests",
            pa.int64(),
            "Requests that the run sent to the source, repeated ones too.",
            "requests",
            nullable=True,
        ),
        Column("bytes", pa.int64(), "Bytes of the table's file; for pages, of their JSON.", "bytes", nullable=True),
        Column("error", pa.string(), "Why it failed, in one line; null if it did not.", nullable=True),
    ),
    partitioned=False,
)
