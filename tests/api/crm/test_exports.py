"""Lists as files, for those who do not see everything."""

import csv
import io
from typing import Any

import pytest

from api.exports.lists import Exportable
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member


async def _exported(member: Member, exported: str) -> list[dict[str, Any]]:
    answer = await member.get(f"/v1/exports/{exported}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.parametrize("role", [Role.REP, Role.MANAGER, Role.ANALYST])
async def test_whoever_sees_only_some_records_gets_whole_files_of_what_everybody_sees(
    crm: Crm, owner: Member, role: Role
) -> None:
    await owner.made("/v1/products", {"name": "A seat", "code": "SEAT", "unit_price_minor": 1250, "currency": "EUR"})
    await owner.deal()
    member = crm.member(owner.organization_id, role)
    found = {one: await _exported(member, one) for one in Exportable}
    assert [row["code"] for row in found[Exportable.PRODUCTS]] == ["SEAT"]
    assert found[Exportable.PIPELINES] == await _exported(owner, "pipelines") != []
    assert len(found[Exportable.USERS]) == 2
    assert len(found[Exportable.DEALS]) == (0 if role in (Role.REP, Role.MANAGER) else 1)
