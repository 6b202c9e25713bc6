"""`/v1/feature-flags`: what an organization does with, and without."""

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from api.db.statements import compiled
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.flags import Feature
from api.edge.pages import PageOf
from api.edge.routing import slice_router
from api.kernel.auditing import note

router = slice_router(prefix="/feature-flags", tags=["feature flags"])

_READ = compiled(text("select flag, is_on from feature_flags where organization_id = :organization_id"))
_WRITE = compiled(
    text("""
insert into feature_flags (organization_id, id, flag, is_on) values (:organization_id, uuidv7(), :flag, :is_on)
on conflict (organization_id, flag) do update set is_on = excluded.is_on, updated_at = clock_timestamp()
""")
)


class FlagRead(BaseModel):
    """A feature, and whether it is on."""

    flag: Feature
    is_on: bool


class FlagWrite(BaseModel):
    """Whether it is to be on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_on": False}]})

    is_on: bool = Field(strict=True)


@router.get("")
async def list_feature_flags(caller: CurrentCaller, unit: Unit) -> PageOf[FlagRead]:
    """Every feature that can be turned off, and whether it is on."""
    known = {row.flag: row.is_on for row in await unit.fetch(_READ)}
    items = [FlagRead(flag=feature, is_on=known.get(feature, True)) for feature in Feature]
    return PageOf(items=items, next_cursor=None)


@router.put("/{flag}")
async def set_feature_flag(flag: Feature, body: FlagWrite, caller: CurrentCaller, unit: Unit) -> FlagRead:
    """Turn a feature on or off for the whole organization. For owners."""
    unit.execute(_WRITE, flag=flag, is_on=body.is_on)
    note(unit, "feature_flag.set", resource="feature_flag", after={"flag": flag, "is_on": body.is_on})
    return FlagRead(flag=flag, is_on=body.is_on)
