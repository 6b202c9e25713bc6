"""Statements of the ledger."""

from uuid import UUID

from sqlalchemy import bindparam, text

from api.db.statements import compiled
from api.kernel.changes import Change
from api.kernel.constraints import Problems, unknown
from api.kernel.listing import Listing
from api.kernel.states import only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.rental import Rental as RentalRow
from api.rentals.rules import Rental

_rentals = rows_of(Rental, RentalRow)
_PROBLEMS: Problems = {"fk_rentals_user_id": unknown("user_id", "user")}

RENTALS = Listing(
    _rentals,
    filters={name: getattr(RentalRow, name) == bindparam(name) for name in ("id", "state", "user_id")},
    order=(RentalRow.created_at, RentalRow.id),
    newest_first=True,
)
_LOCKED = compiled(_rentals.where(RentalRow.id == bindparam("rental_id")).with_for_update())
#: Whoever takes one has until `taken_until`, a minute at least, for its step; one that nobody ended is done again,
#: later each time. Who is late finds another instant there, and what they come with is not written.
TAKE = compiled(
    text("""
update rentals r
set attempts = r.attempts + 1, next_attempt_at = clock_timestamp()
    + greatest(interval '1 minute', least(interval '1 hour', interval '5 s' * (2 ^ least(r.attempts, 10))))
from (
    select organization_id, id from rentals where next_attempt_at <= clock_timestamp()
    order by next_attempt_at limit 1 for update skip locked
) due
where r.organization_id = due.organization_id and r.id = due.id
returning r.organization_id, r.id, r.next_attempt_at as taken_until
""")
)


async def find_rental(unit: UnitOfWork, rental_id: UUID) -> Rental:
    """One order.

    Raises:
        NotFound: there is none.
    """
    [rows] = await unit.fetch_all(RENTALS.bind({"id": rental_id}, after=None, limit=1))
    return only(Rental, rows, "order")


async def lock_rental(unit: UnitOfWork, rental_id: UUID) -> Rental:
    """One order, locked until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    return only(Rental, await unit.fetch(_LOCKED, rental_id=rental_id), "order")


def write_changes(unit: UnitOfWork, *changes: Change[Rental]) -> None:
    """Queue what was decided."""
    unit.explain(_PROBLEMS)
    write(unit, changes, {Rental: RentalRow})
