"""Structured logs: one JSON object a line on standard error, with the correlation id of the request it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

#: Correlation id of what is being done here and now.
correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


_JSON = json.JSONEncoder(default=str)


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra={"fields": {...}}` and its exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks in values are escaped by JSON."""
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "correlation_id": correlation_id.get(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _JSON.encode({name: value for name, value in entry.items() if value is not None})


def log_as_json(level: int = logging.INFO) -> None:
    """Send all logs of this process through the formatter, which names no thread, process or task."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
