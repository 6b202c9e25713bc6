"""How an answer was computed: its statements as they ran, for `explain=true`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.edge.services import Services
from api.kernel.caller import Caller
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.metrics.asking import explain_answer, figures_of, read_question
from metrics.errors import UnknownPipelineError
from metrics.explain import as_json
from metrics.viewer import Viewer


class StatementRead(BaseModel):
    """A statement as it ran, its values bound by name."""

    sql: str
    values: dict[str, Any]


class MetricExplanation(BaseModel):
    """An answer's rows, and the statements behind them. The last one counts the facts, or those
    whose amounts are in no sum."""

    metric: str
    version: int
    definition: str = Field(description="Hash of the definition.")
    parameters: dict[str, Any]
    as_of: datetime
    warehouse_version: str
    statements: list[StatementRead]
    rows: list[dict[str, Any]]


async def explain_metric(
    unit: UnitOfWork, caller: Caller, *, services: Services, name: str, given: Mapping[str, str]
) -> MetricExplanation:
    """Answer a metric over the records that the caller sees, and say by which statements."""
    asked = {field: value for field, value in given.items() if field not in {"explain", "names"}}
    definition, parameters = read_question(name, asked)
    viewer = Viewer(organization_id=caller.organization_id, owner_ids=await owners_seen(unit, caller))
    try:
        found = await explain_answer(services, definition, parameters, viewer=viewer, now=figures_of(services).now())
    except UnknownPipelineError:
        raise NotFound("pipeline") from None
    answer = found.answer
    return MetricExplanation(
        metric=answer.metric,
        version=answer.version,
        definition=answer.definition,
        parameters=answer.parameters,
        as_of=answer.as_of,
        warehouse_version=answer.warehouse_version,
        statements=[
            StatementRead(sql=one.sql, values={name: as_json(value) for name, value in one.values.items()})
            for one in found.statements
        ],
        rows=answer.rows,
    )
