"""How much an organization's files may take together: what the installation allows, and no more than its plan does."""

from dataclasses import dataclass

from sqlalchemy import text

from api.db.statements import compiled
from api.edge.entitlements import Limit, allowed_now
from api.edge.services import Services
from api.kernel.errors import Conflict
from api.kernel.unit_of_work import UnitOfWork

_USED = compiled(
    text("select coalesce(sum(size_bytes), 0)::bigint as used from files where organization_id = :organization_id")
)
# two who attach at once come after each other
_HOLD = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('storage:' || cast(:organization_id as text), 0))")
)
_MB = 1_000_000


class StorageFull(Conflict):
    """The organization's files may take no more."""

    code, title = "storage_full", "Storage is full"

    def __init__(self, left: int) -> None:
        self.left = left
        super().__init__(
            f"Your organization's files may take {left:,} bytes more, and this is larger. Delete files, or attach a"
            " smaller one. Those in the recycle bin count until they are taken out of it."
        )


@dataclass(frozen=True)
class Storage:
    """What files take, those in the recycle bin too, and how much more they may."""

    used_bytes: int
    left_bytes: int


async def read_storage(unit: UnitOfWork, services: Services, *, is_held: bool = False) -> Storage:
    """How it stands. Held, nobody else attaches anything until the unit ends."""
    *_, [found] = await unit.fetch_all(*([_HOLD.bind()] if is_held else []), _USED.bind())
    allowed, of_plan = services.settings.storage_max_bytes, await allowed_now(unit, services.billing, Limit.STORAGE_MB)
    if of_plan is not None:
        allowed = min(allowed, of_plan * _MB)
    return Storage(found.used, max(0, allowed - found.used))


async def require_storage(unit: UnitOfWork, services: Services, size_bytes: int) -> None:
    """Insist on room for so much more.

    Raises:
        StorageFull: there is none.
    """
    storage = await read_storage(unit, services, is_held=True)
    if size_bytes > storage.left_bytes:
        raise StorageFull(storage.left_bytes)
