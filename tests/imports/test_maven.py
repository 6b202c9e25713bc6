"""The deals, accounts and sales teams of a real export shape give what a direct count of the files gives."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from tests.imports.conftest import Importer

DEALS_MAP = {
    "opportunity_id": "external_id",
    "sales_agent": "owner_email",
    "product": "title",
    "account": "company",
    "deal_stage": "stage",
    "engage_date": "created_at",
    "close_date": "closed_at",
    "close_value": "amount",
}
OPTIONS = {
    "create_missing": True,
    "pipeline": "Hardware",
    "stage_kinds": {"Won": "won", "Lost": "lost"},
    "map": {
        "deals": DEALS_MAP,
        "companies": {"account": "name", "sector": "industry"},
        "users": {"sales_agent": "name", "regional_office": "team"},
    },
}


@pytest.fixture
def maven(shared_data: Path) -> Path:
    folder = shared_data / "maven_crm"
    if not folder.is_dir():
        pytest.skip("needs the maven_crm data set beside the project")
    return folder


def _count(maven: Path) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    with (maven / "sales_teams.csv").open() as stream:
        agents = {row["sales_agent"]: row for row in csv.DictReader(stream)}
    stages, by_agent, by_manager, by_office = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    with (maven / "sales_pipeline.csv").open() as stream:
        for row in csv.DictReader(stream):
            stages[row["deal_stage"]] += 1
            if row["deal_stage"] == "Won":
                cents = int(row["close_value"]) * 100
                by_agent[row["sales_agent"]] += cents
                by_manager[agents[row["sales_agent"]]["manager"]] += cents
                by_office[agents[row["sales_agent"]]["regional_office"]] += cents
    return stages, by_agent, by_manager, by_office


async def test_maven_equals_a_direct_count(importer: Importer, maven: Path) -> None:
    files = {
        "deals": (maven / "sales_pipeline.csv").read_bytes(),
        "companies": (maven / "accounts.csv").read_bytes(),
        "users": (maven / "sales_teams.csv").read_bytes(),
    }
    done = await importer.run(files, **OPTIONS)
    assert done["state"] == "completed", done
    assert done["progress"]["deals"] == {
        "total": 8800, "done": 8800, "created": 8800, "updated": 0, "unchanged": 0, "failed": 0,
    }  # fmt: skip
    stages, by_agent, by_manager, by_office = _count(maven)
    in_stage = importer.rows("select s.name, count(*) from deals d join stages s on s.id = d.stage_id group by 1")
    assert {row["name"]: row["count"] for row in in_stage} == stages

    def won_by(column: str) -> dict[str, int]:
        query = f"""
            select {column} as name, sum(d.amount_minor)::bigint as won from deals d
            join users u on u.id = d.owner_id
            join team_members m on m.user_id = u.id and m.ended_at is null
            join teams t on t.id = m.team_id
            join users manager on manager.id = t.manager_id
            join teams office on office.id = t.parent_team_id
            where d.status = 'won' group by 1"""
        return {row["name"]: row["won"] for row in importer.rows(query)}

    assert won_by("u.name") == by_agent
    assert won_by("manager.name") == by_manager
    assert won_by("office.name") == by_office

    before = importer.one("select count(*) from event_log where aggregate_type <> 'import'")
    again = await importer.run(files, **OPTIONS)
    assert again["counts"]["unchanged"] == again["counts"]["total"] == 8800 + 85 + 35
    assert importer.one("select count(*) from event_log where aggregate_type <> 'import'") == before
