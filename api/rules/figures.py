"""Figures of the metrics that conditions name: asked of the warehouse now and then, believed until the next time.

What was found is kept with its instant, so that a rule, its log and its replay look at the same number.
"""

import logging
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import duckdb
import psycopg
from pydantic import ValidationError

from api.rules.document import Figure
from contracts.settings import WarehouseSettings
from metrics import query
from metrics.errors import MetricError
from metrics.parameters import Parameters, read
from metrics.reader import open_reader
from metrics.registry import Definition, definition_of
from metrics.session import Reader
from metrics.viewer import Viewer

_log = logging.getLogger(__name__)


class Warehouse:
    """Where figures come from; opened when the first one is asked for."""

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def ask(self, organization_id: UUID, figure: Figure, now: datetime) -> float | None:
        """A figure as it is now; None where it cannot be told."""
        try:
            if self._reader is None:
                self._reader = open_reader(WarehouseSettings().warehouse_url.get_secret_value())
            return value_of(self._reader, organization_id, figure, now=now)
        except (MetricError, ValidationError, psycopg.Error, duckdb.Error, OSError) as error:
            _log.warning("the figure %s of %s cannot be told: %s", figure.figure, figure.metric, error)
            return None

    def close(self) -> None:
        """Let go of the warehouse."""
        if self._reader is not None:
            self._reader.close()


def value_of(reader: Reader, organization_id: UUID, figure: Figure, *, now: datetime) -> float | None:
    """What the metric answers for the whole organization; None where there is no such group, or it cannot be said."""
    definition, parameters = asked(figure, now=now)
    answer = query.answer(reader, definition, parameters, viewer=Viewer(organization_id, None), now=now)
    rows = [row for row in answer.rows if figure.group is None or str(row.get("group")) == figure.group]
    value = rows[0].get(figure.figure) if len(rows) == 1 else None
    return float(value) if isinstance(value, int | float) else None


def asked(figure: Figure, *, now: datetime) -> tuple[Definition, Parameters]:
    """The definition and the parameters of a figure.

    Raises:
        MetricError: there is no such metric, it has no such figure, or takes no such parameter.
    """
    definition = definition_of(figure.metric)
    given = dict(figure.parameters)
    if "from" in definition.parameters and "from" not in given:
        given["from"] = str((now - timedelta(days=figure.days)).date())
        given.setdefault("to", str((now + timedelta(days=1)).date()))
    if figure.group is None and "group_by" in definition.parameters:
        given.setdefault("group_by", "none")
    return definition, read(definition, given)


def problem_with(figure: Figure, *, now: datetime) -> str | None:
    """Why a figure cannot be asked for; None where it can."""
    try:
        definition, _ = asked(figure, now=now)
    except MetricError as error:
        return str(error)
    names = list(dict.fromkeys(each.name for each in (*definition.figures, *definition.measures)))
    if figure.figure not in names:
        return f"{definition.name} has no figure {figure.figure!r}; it has {', '.join(names)}."
    return None


def digest_of(figure: Figure) -> str:
    """What two rules that ask the same have in common."""
    return sha256(figure.model_dump_json().encode()).hexdigest()
