"""Lets an erasure win over whoever still writes of what they read before it.

What is made of words about people outside a transaction (a language model takes seconds) is stored only where nobody
was erased since they were read: `erasures_so_far` beside the reading, `hold_erasures` beside the storing. What is read
and stored in one transaction begins with `HOLD`.
"""

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import UnitOfWork

_LOCK = "hashtextextended('erasures:' || cast(cast(:organization_id as uuid) as text), 0)"
_SO_FAR = compiled(text("select count(*) as erasures from erasures where organization_id = :organization_id"))
#: Nobody is erased until the transaction ends.
HOLD = compiled(text(f"select pg_advisory_xact_lock_shared({_LOCK})"))
#: Whoever erases waits for those who store, and they for the erasure.
BEGIN_ERASING = compiled(text(f"select pg_advisory_xact_lock({_LOCK})"))


async def erasures_so_far(unit: UnitOfWork) -> int:
    """How many people were erased; to be asked before anything about people is read."""
    [row] = await unit.fetch(_SO_FAR)
    return int(row.erasures)


async def hold_erasures(unit: UnitOfWork) -> int:
    """The same; nobody is erased until the transaction ends."""
    _, [row] = await unit.fetch_all(HOLD.bind(), _SO_FAR.bind())
    return int(row.erasures)
