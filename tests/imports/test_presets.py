"""Exports of other products, with their headings, statuses and stage histories, imported without a map."""

import csv
import io
from datetime import datetime
from pathlib import Path

import pytest

from tests.imports.conftest import Importer
from tests.imports.test_reports import errors_of, path_of


async def test_salesforce_brings_deals_their_history_and_whose_they_are(importer: Importer, shared_data: Path) -> None:
    folder = shared_data / "salesforce_export_devorg"
    if not folder.is_dir():
        pytest.skip("needs the salesforce_export_devorg data set beside the project")
    names = {
        "deals": "Opportunity",
        "deal_stage_history": "OpportunityHistory",
        "companies": "Account",
        "contacts": "Contact",
    }
    files = {entity: (folder / f"{name}.csv").read_bytes() for entity, name in names.items()}
    done = await importer.run(files, preset="salesforce", create_missing=True)
    failed = await errors_of(importer, done)
    # two sample contacts have addresses that are none
    assert [(field, problem) for _, field, problem in failed] == [("email", "This is no e-mail address.")] * 2
    progress = done["progress"]
    assert (progress["deals"]["created"], progress["deal_stage_history"]["created"]) == (31, 62)
    assert importer.one("select count(*) from deals where status = 'won'") == 18
    assert importer.one("select count(*) from deals where company_id is not null") == 31
    assert importer.one("select count(*) from stages where name = 'Closed Won' and kind = 'won'") == 1
    again = await importer.run(files, preset="salesforce", create_missing=True)
    assert again["counts"]["unchanged"] == again["counts"]["total"] - 2


async def test_pipedrive_keeps_the_status_beside_the_stage_and_logs_changes_of_every_field(importer: Importer) -> None:
    deals = (
        "Deal - ID,Deal - Title,Deal - Value,Deal - Currency of Value,Deal - Stage,Deal - Status,Deal - Deal created,"
        "Deal - Won time,Deal - Lost time,Deal - Lost reason,Deal - Organization,Deal - Organization ID\n"
        "1,Won one,100,EUR,Negotiation,Won,2026-01-02 09:00:00,2026-02-01 10:00:00,,,Acme,7\n"
        "2,Lost one,,EUR,Qualified,Lost,2026-01-02 09:00:00,,2026-02-03 10:00:00,Price,Acme,8\n"
        "3,Open one,5,EUR,Proposal,Open,2026-01-02 09:00:00,,,,,\n"
    )
    log = (
        "Deal ID,Field key,Old value,New value,Log time,User\n3,stage_id,,New,2026-01-02 09:00:00,\n"
        "3,value,4,5,2026-01-03 09:00:00,\n3,stage_id,New,Proposal,2026-01-04 09:00:00,\n"
    )
    done = await importer.run({"deals": deals, "deal_stage_history": log}, preset="pipedrive", create_missing=True)
    assert done["counts"]["failed"] == 0, await errors_of(importer, done)
    assert path_of(importer, "1") == [("deal.created", "Negotiation"), ("deal.closed", "Won")]
    assert path_of(importer, "2") == [("deal.created", "Qualified"), ("deal.closed", "Lost")]
    assert path_of(importer, "3") == [("deal.created", "New"), ("deal.stage.changed", "Proposal")]
    assert any("1 rows that tell of other fields" in text for text in done["warnings"])
    assert importer.one("select count(*) from companies where name = 'Acme'") == 2


async def test_hubspot_names_and_links_by_id(importer: Importer) -> None:
    files = {
        "companies": "Record ID,Company name,Company Domain Name,Number of Employees\n71,Acme,acme.example,12\n",
        "contacts": "Record ID,First Name,Last Name,Email,Associated Company IDs\n81,Ada,Lovelace,ada@a.example,71\n",
        "deals": "Record ID,Deal Name,Pipeline,Deal Stage,Amount,Close Date,Create Date,Deal owner,Is Closed Won,"
        "Associated Company IDs (Primary),Date entered current stage,Closed Lost Reason\n"
        "91,One,Sales Pipeline,Appointment Scheduled,10,2026-09-01,2026-01-01 10:00,Kim Rep,No,71,2026-01-01 10:00,\n",
    }
    done = await importer.run(files, preset="hubspot", create_missing=True)
    assert done["counts"]["failed"] == 0, await errors_of(importer, done)
    [deal] = importer.rows(
        "select d.title, c.external_id as company, u.name as owner, d.status from deals d"
        " join companies c on c.id = d.company_id join users u on u.id = d.owner_id"
    )
    assert tuple(deal.values()) == ("One", "71", "Kim Rep", "open")
    assert importer.one("select name from contacts") == "Ada Lovelace"


async def test_hubspots_tables_bring_when_deals_entered_their_stages_and_notes(
    importer: Importer, shared_data: Path
) -> None:
    folder = shared_data / "hubspot_connector_seeds"
    if not folder.is_dir():
        pytest.skip("needs the hubspot_connector_seeds data set beside the project")
    history = (folder / "deal_stage_data.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(history)))
    # its hours have one digit before ten
    ordered = sorted(rows, key=lambda row: datetime.strptime(row["date_entered"], "%Y-%m-%d %H:%M:%S"))  # noqa: DTZ007
    last = {row["deal_id"]: row["value"] for row in ordered}
    deals = "deal_id,deal_pipeline_stage_id\n" + "".join(f"{deal},{stage}\n" for deal, stage in last.items())
    files: dict[str, str | bytes] = {
        "deals": deals,
        "deal_stage_history": history,
        "notes": (folder / "engagement_note_data.csv").read_bytes(),
    }
    done = await importer.run(files, preset="hubspot", create_missing=True)
    assert done["counts"]["failed"] == 0, await errors_of(importer, done)
    assert done["progress"]["deal_stage_history"]["created"] == len(rows)
    assert importer.one("select count(distinct aggregate_id) from event_log where aggregate_type = 'deal'") == len(last)
    assert importer.one("select body from activities") == "note body"
    assert importer.one("select took_place_at::text from activities").startswith("2014-08-27")


@pytest.mark.parametrize(
    ("preset", "tasks", "notes"),
    [
        (
            "hubspot",
            "Record ID,Task Title,Task Notes,Due date,Associated Contact IDs\n9,Call,Ask,2030-01-05,81\n",
            "Record ID,Note body,Activity date,Associated Contact IDs\n5,Likes it,2026-01-02 10:00,81\n",
        ),
        (
            "salesforce",
            "Id,WhoId,WhatId,Subject,ActivityDate,Description,OwnerId,IsDeleted\n9,81,,Call,2030-01-05,Ask,005,false\n",
            "Id,ParentId,Body,CreatedDate\n5,,Likes it,2026-01-02T10:00:00Z\n",
        ),
        (
            "pipedrive",
            "ID,Activity - Subject,Activity - Note,Activity - Due date,Person ID\n9,Call,Ask,2030-01-05,81\n",
            "Note - ID,Note - Content,Note - Add time,Note - Person ID\n5,Likes it,2026-01-02 10:00:00,81\n",
        ),
    ],
)
async def test_tasks_and_notes_come_with_each_presets_headings(
    importer: Importer, preset: str, tasks: str, notes: str
) -> None:
    await importer.run({"contacts": "external_id,name\n81,Ada\n"})
    done = await importer.run({"tasks": tasks, "notes": notes}, preset=preset, create_missing=True)
    assert (done["counts"]["created"], done["counts"]["failed"]) == (2, 0), await errors_of(importer, done)
    [task] = importer.rows("select title, body, due_at::date::text as due, contact_id from tasks")
    assert (task["title"], task["body"], task["due"]) == ("Call", "Ask", "2030-01-05")
    assert task["contact_id"] == importer.one("select id from contacts")
    assert importer.one("select body from activities") == "Likes it"
