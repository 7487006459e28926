"""What a run logs, as lines of JSON for programs that collect logs: `python_logs` of `deploy/dagster.yaml` names it.
What Dagster's own services log is not formed here.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

_OF_THE_RUN = ("run_id", "job_name", "step_key")


class JsonLines(logging.Formatter):
    """One line for each message of the package and each event of Dagster, with the keys of `--log-format json`.

    Dagster's own formatters lose what they cannot turn into JSON: one of them tracebacks, the other some events.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Form a line: timestamp (UTC), level, logger, event, and what is known of the run and of an exception."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event = getattr(record, "dagster_event", None)
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "event_type": event.event_type_value if event else None,
            **{name: meta.get(name) for name in _OF_THE_RUN},
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None})
