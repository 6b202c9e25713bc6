"""Statements of picklists: their values, shown and imported. Labels of other rows are an affair of `kernel.labels`."""

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import bindparam

from api.db.statements import compiled
from api.kernel.listing import Listing
from api.kernel.states import rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.models.picklist_value import PicklistValue as ValueRow
from api.picklists.rules import PicklistValue

_VALUES = rows_of(PicklistValue, ValueRow)
ALL_VALUES = compiled(_VALUES)
VALUES = Listing(_VALUES, filters={"picklist": ValueRow.picklist == bindparam("picklist")}, order=(ValueRow.id,))


def add_values(unit: UnitOfWork, values: Iterable[PicklistValue]) -> None:
    """Queue new values."""
    unit.insert(ValueRow, *(asdict(value) for value in values))
