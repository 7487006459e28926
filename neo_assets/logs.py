"""What this process logs as lines of JSON, for programs that collect logs, and the id of the request that a line
belongs to. Without `as_json`, messages go where Python's own logging sends them. Who logs what is decided elsewhere.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

REQUEST_ID = "neo_assets/request_id"
"""Tag of a run that a request to the API asked for: the request's id."""

_OF_THE_RUN = ("run_id", "job_name", "step_key")
_FIELDS, _IS_WRITTEN = "neo_assets_fields", "neo_assets_is_written"

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """The id of the request that this code works for; none outside of a request."""
    return _request_id.get()


def begin_request(request_id: str) -> None:
    """From now on, each line that is logged in this context, such as an asyncio task, has the id of this request."""
    _request_id.set(request_id)


def having(**fields: Any) -> Mapping[str, Any]:
    """`extra` of a message: fields that its line of JSON has beside the text."""
    return {_FIELDS: fields}


def as_json() -> None:
    """Have this process log to standard error as lines of JSON: the package from INFO, other libraries from WARNING.

    Warnings of Python are logged, too.
    """
    if not are_json():
        logging.getLogger().addHandler(JsonLog())
        logging.getLogger("neo_assets").setLevel(logging.INFO)
        logging.captureWarnings(True)


def are_json() -> bool:
    """Whether this process logs as lines of JSON."""
    return any(isinstance(handler, JsonLog) for handler in logging.getLogger().handlers)


class JsonLines(logging.Formatter):
    """One line for each message of the package and each event of Dagster, with the keys of `--log-format json`.

    Dagster's own formatters lose what they cannot turn into JSON: one of them tracebacks, the other some events.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Form a line: timestamp (UTC), level, logger, event, and what is known of the request, of the run and of an
        exception.
        """
        meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event = getattr(record, "dagster_event", None)
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "event_type": event.event_type_value if event else None,
            "request_id": current_request_id() or (meta.get("job_tags") or {}).get(REQUEST_ID),
            **{name: meta.get(name) for name in _OF_THE_RUN},
            **getattr(record, _FIELDS, {}),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None})


class JsonLog(logging.StreamHandler[Any]):
    """Writes each message as a line of JSON to standard error, if this process logs as lines of JSON.

    `dagster.yaml` names it, too, for what Dagster itself says of a run. A message that both get is written once.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, unless it is written already."""
        if are_json() and not hasattr(record, _IS_WRITTEN):
            setattr(record, _IS_WRITTEN, True)
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: a log that cannot be written ends nothing, and there is nowhere to say so."""
