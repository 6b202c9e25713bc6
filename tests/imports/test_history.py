"""Deals with stage history: their paths, what a later import adds, and what a second import leaves alone."""

import csv
import gzip
import io
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.imports.conftest import Importer

_STAGES = "deal_external_id,stage,entered_at,actor_email\n"


def _path(importer: Importer, external_id: str) -> list[tuple[str, str, str]]:
    rows = importer.rows(
        """
        select e.type, s.name, to_char(e.occurred_at, 'MM-DD') as day from event_log e
        join deals d on d.id = e.aggregate_id
        join stages s on s.id = (e.data ->> 'to_stage_id')::uuid
        where d.external_id = %s order by e.occurred_at, e.aggregate_version""",
        external_id,
    )
    return [(row["type"], row["name"], row["day"]) for row in rows]


def _deal(importer: Importer, external_id: str) -> dict[str, Any]:
    [row] = importer.rows(
        "select d.*, s.name as stage from deals d join stages s on s.id = d.stage_id where d.external_id = %s",
        external_id,
    )
    return row


class TestNewDeals:
    async def test_history_makes_the_path_and_kinds_decide(self, importer: Importer) -> None:
        await importer.run(
            {
                "deals": "external_id,stage,created_at,lost_reason,amount\n1,Lost,2025-01-01,Price,5\n",
                "deal_stage_history": _STAGES + "1,Qualified,2025-01-05,\n1,New,2025-01-02,\n1,Won,2025-01-09,\n"
                "1,Proposal,2025-01-12,\n1,Proposal,2025-01-13,\n1,Lost,2025-01-20,\n",
            },
            create_missing=True,
        )
        assert _path(importer, "1") == [
            ("deal.created", "New", "01-01"),
            ("deal.stage.changed", "Qualified", "01-05"),
            ("deal.closed", "Won", "01-09"),
            ("deal.reopened", "Proposal", "01-12"),
            ("deal.closed", "Lost", "01-20"),
        ]
        deal = _deal(importer, "1")
        assert (deal["status"], deal["version"], deal["stage"]) == ("lost", 5, "Lost")
        assert deal["lost_reason_id"] is not None
        versions = importer.rows(
            "select aggregate_version from event_log where aggregate_id = %s order by 1", deal["id"]
        )
        assert [row["aggregate_version"] for row in versions] == [1, 2, 3, 4, 5]
        assert (
            importer.one("select count(distinct recorded_at) from event_log where aggregate_id = %s", deal["id"]) == 1
        )

    async def test_ties_are_in_the_pipelines_order_and_end_where_the_deal_stands(self, importer: Importer) -> None:
        at = "2025-01-05T10:00:00Z"
        await importer.run(
            {
                "deals": "external_id,stage\n1,New\n",
                "deal_stage_history": f"{_STAGES}1,New,2025-01-02,\n1,Proposal,{at},\n1,Qualified,{at},\n1,New,{at},\n",
            }
        )
        assert [stage for _, stage, _ in _path(importer, "1")] == ["New", "Qualified", "Proposal", "New"]

    async def test_without_history_open_deals_stand_and_closed_ones_close(self, importer: Importer) -> None:
        body = (
            "external_id,stage,created_at,closed_at,close_date\n"
            "1,Proposal,2025-01-01,,2025-03-01\n2,Won,2025-01-01,2025-02-01,\n3,Lost,2025-01-01,,2025-02-02\n"
        )
        await importer.run({"deals": body})
        assert _path(importer, "1") == [("deal.created", "Proposal", "01-01")]
        assert _path(importer, "2") == [("deal.created", "New", "01-01"), ("deal.closed", "Won", "02-01")]
        assert _path(importer, "3") == [("deal.created", "New", "01-01"), ("deal.closed", "Lost", "02-02")]

    async def test_owners_and_amounts_over_time(self, importer: Importer) -> None:
        await importer.run(
            {
                "users": "email,name\na@x.example,Ann\nb@x.example,Bob\n",
                "deals": "external_id,stage,created_at,owner_email,amount\n1,New,2025-01-02,Bob,20\n",
                "deal_owner_history": "deal_external_id,owner_email,from\n1,b@x.example,2025-02-01\n1,Ann,2025-01-01\n",
                "deal_amount_history": "deal_external_id,amount,from\n1,10,2025-01-02\n1,20,2025-03-01\n",
            }
        )
        events = importer.rows(
            "select type, data from event_log where aggregate_type = 'deal' order by aggregate_version"
        )
        assert [row["type"] for row in events] == ["deal.created", "deal.owner.changed", "deal.amount.changed"]
        names = {str(row["id"]): row["name"] for row in importer.rows("select id, name from users")}
        assert names[events[0]["data"]["owner_id"]] == "Ann"
        assert names[events[1]["data"]["owner_id"]] == "Bob"
        assert (events[0]["data"]["amount_minor"], events[2]["data"]["amount_minor"]) == (1000, 2000)


class TestKnownDeals:
    async def test_a_changed_row_emits_what_changed_and_a_repeated_one_nothing(self, importer: Importer) -> None:
        headings = "external_id,title,stage,amount,close_date\n"
        await importer.run({"deals": f"{headings}1,One,New,10,2025-05-01\n2,Two,New,10,\n"})
        done = await importer.run({"deals": f"{headings}1,Uno,Qualified,12,2025-06-01\n2,,New,,\n"})
        assert (done["counts"]["updated"], done["counts"]["unchanged"]) == (1, 1)
        types = importer.rows(
            "select e.type from event_log e join deals d on d.id = e.aggregate_id"
            " where d.external_id = '1' and aggregate_version > 1"
        )
        assert {row["type"] for row in types} == {
            "deal.stage.changed", "deal.amount.changed", "deal.updated", "deal.close_date.changed",
        }  # fmt: skip
        deal = _deal(importer, "1")
        assert (deal["title"], deal["stage"], deal["amount_minor"], deal["version"]) == ("Uno", "Qualified", 1200, 5)
        assert _deal(importer, "2")["title"] == "Two"

    async def test_later_history_becomes_backdated_entries(self, importer: Importer) -> None:
        await importer.run({"deals": "external_id,stage,created_at\n1,Proposal,2025-01-01\n"})
        history = f"{_STAGES}1,Proposal,2025-01-01,\n1,Won,2025-02-01,\n1,Negotiation,2025-01-15,\n"
        done = await importer.run({"deal_stage_history": history})
        assert (done["counts"]["created"], done["counts"]["unchanged"]) == (2, 1)
        assert _path(importer, "1") == [
            ("deal.created", "Proposal", "01-01"),
            ("deal.stage.changed", "Negotiation", "01-15"),
            ("deal.closed", "Won", "02-01"),
        ]
        assert _deal(importer, "1")["status"] == "won"
        done = await importer.run({"deal_stage_history": history})
        assert done["counts"]["unchanged"] == 3
        done = await importer.run({"deal_stage_history": f"{_STAGES}1,New,2024-12-01,\n"})
        assert done["counts"]["failed"] == 1
        assert "before the deal's creation" in await importer.errors(done["id"])

    async def test_p2_people_and_companies_are_known_again(self, importer: Importer) -> None:
        files = {
            "users": "email,name,role,team,manager\nr@x.example,Rae,rep,Sales/East,m@x.example\n"
            "s@x.example,Sue,,Sales/East,n@x.example\nt@x.example,Tom,,Sales/West,m@x.example\n",
            "companies": "external_id,name,industry,employees,country,owner_email\nc1,Acme,Toys,12,de,Rae\n,Bolt,,,,\n",
            "contacts": "name,email,company,source\nAda,ada@acme.example,Acme,Fair\nBo,,Bolt,\n",
        }
        first = await importer.run(files, create_missing=True)
        assert (first["counts"]["created"], first["counts"]["failed"]) == (7, 0), first
        again = await importer.run(files, create_missing=True)
        assert again["counts"]["unchanged"] == again["counts"]["total"], again
        teams = importer.rows(
            "select t.name, p.name as parent, u.name as manager from teams t"
            " left join teams p on p.id = t.parent_team_id left join users u on u.id = t.manager_id order by 1"
        )
        assert [(row["name"], row["parent"], row["manager"]) for row in teams] == [
            ("East", "Sales", None), ("Sales", None, None), ("West", "Sales", "m"),
            ("m (East)", "East", "m"), ("n (East)", "East", "n"),
        ]  # fmt: skip
        assert importer.one("select min(started_at)::text from team_members").startswith("1970-01-01")
        changed = {
            name: body.replace(",12,", ",13,").replace("Tom,,Sales/West", "Tom,,Sales/East")
            for name, body in files.items()
        }
        third = await importer.run(changed, create_missing=True)
        assert third["progress"]["companies"]["updated"] == 1
        assert third["progress"]["users"]["updated"] == 1
        assert importer.one("select count(*) from team_members where ended_at is not null") == 1

    async def test_pipelines_are_made_and_changed(self, importer: Importer) -> None:
        headings = "pipeline,stage,position,kind,target_days\n"
        body = f"{headings}Renewals,Due,0,open,10\nRenewals,Kept,1,won,\nRenewals,Gone,2,lost,\n"
        assert (await importer.run({"pipelines": body}))["counts"]["created"] == 3
        done = await importer.run(
            {"pipelines": body.replace("open,10", "open,12").replace("Gone,2,lost", "Gone,2,won")}
        )
        counts = done["counts"]
        assert (counts["updated"], counts["unchanged"], counts["failed"]) == (1, 1, 1)

    async def test_a_known_pipeline_grows_before_another_one_is_made(self, importer: Importer) -> None:
        body = "pipeline,stage,position,kind\nSales,Checked,9,open\nRenewals,Due,0,open\nRenewals,Kept,1,won\n"
        done = await importer.run({"pipelines": body})
        assert (done["state"], done["counts"]["created"]) == ("completed", 3)


class TestDomesticDeclarations:
    """BPI Challenge 2020: real status transitions with loops."""

    @pytest.fixture
    def rows(self, shared_data: Path) -> list[dict[str, str]]:
        path = shared_data / "bpi2020_domestic_declarations" / "domestic_declarations_events.csv.gz"
        if not path.is_file():
            pytest.skip("needs the bpi2020_domestic_declarations data set beside the project")
        with gzip.open(path, "rt", newline="") as file:
            return list(csv.DictReader(file))

    async def test_reaches_and_reentries_equal_a_plain_count(
        self, importer: Importer, rows: list[dict[str, str]]
    ) -> None:
        visits: dict[str, list[str]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: datetime.fromisoformat(row["time:timestamp"])):
            status, path = row["concept:name"], visits[row["case:concept:name"]]
            if path[-1:] != [status]:
                path.append(status)
        entries = Counter(status for path in visits.values() for status in path)
        reached = Counter(status for path in visits.values() for status in set(path))

        done = await importer.run(_declarations(rows, visits), create_missing=True)
        assert done["progress"]["deals"]["created"] == len(visits) == 10_357
        assert done["progress"]["deal_stage_history"]["created"] == len(rows)
        found = importer.rows("""
            select s.name, count(*) as entries, count(distinct e.aggregate_id) as reached from event_log e
            join stages s on s.id = (e.data ->> 'to_stage_id')::uuid
            where e.aggregate_type = 'deal' group by 1""")
        assert {row["name"]: row["entries"] for row in found} == entries
        assert {row["name"]: row["reached"] for row in found} == reached
        assert reached["Payment Handled"] == 9_912
        assert importer.one("select count(*) from deals where status = 'won'") == sum(
            path[-1] == "Payment Handled" for path in visits.values()
        )

        before = importer.one("select count(*) from event_log where aggregate_type <> 'import'")
        some = set(list(visits)[:1_000])
        part = [row for row in rows if row["case:concept:name"] in some]
        files = _declarations(part, {case: visits[case] for case in some})
        again = await importer.run({name: files[name] for name in ("deals", "deal_stage_history")})
        assert again["counts"]["unchanged"] == again["counts"]["total"]
        assert importer.one("select count(*) from event_log where aggregate_type <> 'import'") == before


def _declarations(rows: list[dict[str, str]], visits: dict[str, list[str]]) -> dict[str, str]:
    stages = list(dict.fromkeys(status for path in visits.values() for status in path))
    kinds = ((name, "won" if name == "Payment Handled" else "open") for name in stages)
    pipeline = [["Declarations", name, place, kind] for place, (name, kind) in enumerate(kinds)]
    history = [[row["case:concept:name"], row["concept:name"], row["time:timestamp"]] for row in rows]
    return {
        "pipelines": _csv(["pipeline", "stage", "position", "kind"], pipeline),
        "deals": _csv(
            ["external_id", "pipeline", "stage"], [[case, "Declarations", path[-1]] for case, path in visits.items()]
        ),
        "deal_stage_history": _csv(["deal_external_id", "stage", "entered_at"], history),
    }


def _csv(headings: list[str], rows: list[list[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([headings, *rows])
    return stream.getvalue()
