"""`/v1/custom-fields`: the fields that an organization adds to its records."""

from uuid import UUID

from fastapi import Response

from api.custom_fields import records, rules
from api.custom_fields.schemas import CustomFieldCreate, CustomFieldRead, CustomFieldUpdate, RecordKindName
from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.computed import BadExpression
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired

router = slice_router(prefix="/custom-fields", tags=["custom fields"])


@router.get("")
async def list_custom_fields(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    record_kind: RecordKindName | None = None,
    is_retired: bool | None = None,
) -> PageOf[CustomFieldRead]:
    """List custom fields, oldest first."""
    given = {"record_kind": record_kind, "is_retired": is_retired}
    rows, cursor = await read_page(unit, records.FIELDS, given, page=page)
    return PageOf(
        items=[CustomFieldRead.model_validate(one) for one in await records.as_shown(unit, rows)], next_cursor=cursor
    )


@router.post(
    "",
    status_code=201,
    responses=problems(
        rules.CustomFieldNameTaken,
        rules.TooManyFields,
        rules.ChoicesMismatch,
        rules.CannotBeUnique,
        rules.ComputedMismatch,
        BadExpression,
    ),
)
async def create_custom_field(
    body: CustomFieldCreate, caller: Administrator, unit: Unit, response: Response
) -> CustomFieldRead:
    """Add a field to contacts, companies or deals: one that people fill, or one that is computed."""
    known = await records.hold_fields(unit, body.record_kind)
    change = rules.create(known, body.model_dump(), now=unit.now)
    records.write(unit, change, known)
    response.headers["Location"] = f"/v1/custom-fields/{change.after.id}"
    return CustomFieldRead.model_validate(await records.read_field(unit, change.after.id))


@router.get("/{custom_field_id}", responses=problems(NotFound))
async def read_custom_field(custom_field_id: UUID, caller: CurrentCaller, unit: Unit) -> CustomFieldRead:
    """Read a custom field."""
    return CustomFieldRead.model_validate(await records.read_field(unit, custom_field_id))


@router.patch(
    "/{custom_field_id}",
    responses=problems(
        NotFound,
        PreconditionFailed,
        PreconditionRequired,
        rules.CustomFieldNameTaken,
        rules.ChoicesMismatch,
        rules.ComputedMismatch,
        rules.FieldInUse,
        BadExpression,
    ),
)
async def update_custom_field(
    custom_field_id: UUID, body: CustomFieldUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> CustomFieldRead:
    """Change or retire a custom field. What it holds, and that it is unique, never changes."""
    before = await records.find_field(unit, custom_field_id)
    known = await records.hold_fields(unit, before.record_kind)
    field = expect(await records.find_field(unit, custom_field_id), "custom field", version=if_match)
    conditions = await records.conditions(unit)
    change = rules.update(field, known, body.model_dump(exclude_unset=True), conditions=conditions, now=unit.now)
    if change is not None:
        records.write(unit, change, known)
    return CustomFieldRead.model_validate(await records.read_field(unit, custom_field_id))
