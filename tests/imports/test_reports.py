"""What people reported about other products' imports: each kind on inputs of our own, and those beside the project."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.imports.conftest import Importer

_LINE = "+-------------+-------+\n"
_HEADINGS = "external_id,title,stage,amount,created_at\n"


async def errors_of(importer: Importer, done: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Row, field and problem of each failed row."""
    rows = csv.DictReader(io.StringIO(await importer.errors(done["id"])))
    return [(row["sluice_row"], row["sluice_field"], row["sluice_problem"]) for row in rows]


async def preview(importer: Importer, files: Mapping[str, str | bytes], **options: Any) -> dict[str, Any]:
    """What an import would do."""
    answer = await importer.send(files, preview=True, **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def amounts(importer: Importer) -> dict[str, tuple[int | None, str]]:
    """Minor units and currency by external id."""
    rows = importer.rows("select external_id, amount_minor, currency from deals")
    return {row["external_id"]: (row["amount_minor"], row["currency"]) for row in rows}


def path_of(importer: Importer, external_id: str) -> list[tuple[str, str]]:
    """Event types with the stages they lead to."""
    rows = importer.rows(
        "select e.type, s.name from event_log e join deals d on d.id = e.aggregate_id"
        " join stages s on s.id = (e.data ->> 'to_stage_id')::uuid"
        " where d.external_id = %s order by e.occurred_at, e.aggregate_version",
        external_id,
    )
    return [(row["type"], row["name"]) for row in rows]


class TestHowAFileIsWritten:
    async def test_noughts_that_a_program_kept_by_a_formula_are_read(self, importer: Importer) -> None:
        rows = '="007",="a ""b""",New,"=""1200""",2026-05-01\n="008",\'="c",New,5,2026-05-01\n'
        done = await importer.run({"deals": _HEADINGS + rows})
        assert done["counts"]["created"] == 2, await importer.errors(done["id"])
        assert {deal: minor for deal, (minor, _) in amounts(importer).items()} == {"007": 120000, "008": 500}
        assert importer.one("select title from deals where external_id = '007'") == 'a "b"'
        assert importer.one("select title from deals where external_id = '008'") == '="c"'

    async def test_lines_above_the_headings_and_below_the_rows(self, importer: Importer) -> None:
        bodies = [
            "sep=;\r\nexternal_id;stage;title\r\na;New;x,y\r\n",
            '\ufeff"sep=|"\r\nexternal_id|stage\r\nb|New\r\n',
            "Opportunities\nAs of 2026-05-01\n\nexternal_id,stage\nc,New\n\nGrand Totals (1),\nCopyright X,\n",
            '"external_id";"stage";"Betrag, EUR"\r\n"d";"New";"1200"\r\n',
            "external_id\tstage\ne\tNew\n",
            " external_id | stage \n-------------+-------\n f           | New   \n(1 row)\n\n",
            f"{_LINE}| external_id | stage |\n{_LINE}| g           | New   |\n{_LINE}1 row in set (0.00 sec)\n",
            "| external_id | stage |\n|:---|-----:|\n| h | New |\n",
        ]
        for body in bodies:
            done = await importer.run({"deals": body})
            assert (done["counts"]["created"], done["counts"]["total"]) == (1, 1), done

    @pytest.mark.parametrize(
        "body",
        [
            "\ufeff\ufeffexternal_id,stage,title\n1,New,Größe\n".encode(),
            "external_id,stage,title\n1,New,Größe\n".encode("cp1252"),
            "external_id,stage,title\n1,New,Größe\n".encode("utf-16-le"),
            "external_id,stage,title\r1,New,Größe\r".encode(),
        ],
    )
    async def test_the_right_text_whatever_the_encoding(self, importer: Importer, body: bytes) -> None:
        done = await importer.run({"deals": body})
        assert done["counts"]["created"] == 1, done
        assert importer.one("select title from deals") == "Größe"

    async def test_an_encoding_that_is_not_clear_or_not_true_is_refused(self, importer: Importer) -> None:
        body = "external_id,stage,title\n1,New,Łódź\n"
        answer = await importer.send({"deals": body.encode("cp1250")})
        assert answer.status_code == 422
        assert "encoding" in answer.json()["detail"]
        answer = await importer.send({"deals": body.encode()}, encoding="utf-16")
        assert answer.status_code == 422, answer.text
        assert "not written in utf-16" in answer.json()["detail"]
        assert not [path for path in importer.files_path.rglob("*") if path.is_file()]
        done = await importer.run({"deals": body.encode("cp1250")}, encoding="cp1250")
        assert importer.one("select title from deals") == "Łódź", done

    async def test_of_two_headings_the_place_decides(self, importer: Importer) -> None:
        body = "external_id,stage,Amount,created_at,Amount\n1,New,7,2026-01-02,99\n"
        answer = await importer.send({"deals": body})
        assert answer.status_code == 422
        assert '{"#3": "amount"}' in answer.json()["detail"]
        await importer.run({"deals": body}, map={"deals": {"#3": "amount"}})
        assert amounts(importer)["1"][0] == 700
        await importer.run({"deals": body}, map={"deals": {"Amount#2": "amount"}})
        assert amounts(importer)["1"][0] == 9900


class TestColumns:
    async def test_all_cells_of_a_column_say_how_it_is_written(self, importer: Importer) -> None:
        body = _HEADINGS + '1,,New,12.500,03/04/2026\n2,,New,"980,50",13/04/2026\n3,,New,1.250.000,28/02/2026\n'
        body += '4,,New,"500,-",03/04/2026\n5,,New,"1.000,-- €",03/04/2026\n'
        shown = await preview(importer, {"deals": body})
        [file] = shown["files"]
        assert len(file["guesses"]) == 2
        assert all("row 3" in one or "row 4" in one for one in file["guesses"])
        assert any("day_first" in one for one in file["guesses"])
        await importer.run({"deals": body})
        assert {key: value for key, (value, _) in amounts(importer).items()} == {
            "1": 1250000, "2": 98050, "3": 125000000, "4": 50000, "5": 100000,
        }  # fmt: skip
        days = importer.rows("select created_at::date::text as day from deals order by external_id")
        assert [row["day"] for row in days] == ["2026-04-03", "2026-04-13", "2026-02-28", "2026-04-03", "2026-04-03"]

    async def test_what_could_be_either_is_refused_until_an_option_says_it(self, importer: Importer) -> None:
        body = _HEADINGS + "1,,New,12.500,03/04/2026\n2,,New,5,05/05/2026\n"
        done = await importer.run({"deals": body})
        [(row, field, problem)] = await errors_of(importer, done)
        assert (row, field) == ("2", "amount; created_at")
        assert "no row of the column shows which" in problem
        await importer.run({"deals": body}, day_first=False, decimal_comma=True)
        assert amounts(importer)["1"][0] == 1250000
        assert importer.one("select created_at::date::text from deals where external_id = '1'") == "2026-03-04"

    async def test_a_column_of_both_orders_proves_neither(self, importer: Importer) -> None:
        body = _HEADINGS + "1,,New,,03/04/2026\n2,,New,,13/04/2026\n3,,New,,04/13/2026\n"
        done = await importer.run({"deals": body})
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [("2", "created_at")]
        assert done["counts"]["created"] == 2

    async def test_a_month_that_is_written_out_is_read_in_any_order(self, importer: Importer) -> None:
        cells = ["January 20, 2024", "Sat, 20 Jan 2024 09:15:00 +0000", "20. Januar 2024", "20-JAN-2024",
                 "20 janv. 2024 09:15", "20 de enero de 2024", "20 января 2024 г.", "Jan. 20th 2024 at 9:15 AM",
                 "1/20/2024, 9:15:00 AM", "Foo 20, 2024", "about 20 Jan 2024", "30 Feb 2024", "20 Jan 24",
                 "05.03.23"]  # fmt: skip
        body = "external_id;stage;created_at\n" + "".join(f"{n:02};New;{cell}\n" for n, cell in enumerate(cells))
        done = await importer.run({"deals": body})
        found = importer.rows("select distinct created_at::date::text as day from deals")
        assert [row["day"] for row in found] == ["2024-01-20"]
        assert [int(row) - 2 for row, _, _ in await errors_of(importer, done)] == [9, 10, 11, 12, 13]
        hours = importer.rows("select external_id from deals where extract(hour from created_at) = 9 order by 1")
        assert [row["external_id"] for row in hours] == ["01", "04", "07", "08"]

    async def test_currency_signs_and_signs_of_amounts_are_read(self, importer: Importer) -> None:
        cells = ['"$1,000.00"', "£500", '"¥90,000"', '"R$ 15,000.00"', "90 000 ₽", '"1,000.00 USD"', "($33.52)", "-50",
                 "kr 10", "5 apples", "--5", "$5k", '"$1,000.00 CAD"', "US$5.00 USD", "500.–", "-7.-"]  # fmt: skip
        body = "external_id,stage,amount\n" + "".join(f"{n},New,{cell}\n" for n, cell in enumerate(cells))
        done = await importer.run({"deals": body})
        assert amounts(importer) == {
            "0": (100000, "USD"), "1": (50000, "GBP"), "2": (90000, "JPY"), "3": (1500000, "BRL"),
            "4": (9000000, "RUB"), "5": (100000, "USD"), "6": (-3352, "USD"), "7": (-5000, "USD"),
            "12": (100000, "CAD"), "13": (500, "USD"), "14": (50000, "USD"), "15": (-700, "USD"),
        }  # fmt: skip
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [
            ("10", "amount"),
            ("11", "amount"),
            ("12", "amount"),
            ("13", "amount"),
        ]

    async def test_words_for_nothing_are_nothing(self, importer: Importer) -> None:
        body = (
            "external_id,title,stage,amount,owner_email,company,source\n1,a,New,#N/A,#N/A,N/A,NULL\n"
            "2,b,New,NULL,Unassigned,(blank),-\n3,c,New,#REF!,,,\n4,None,New,1,,,None\n"
        )
        done = await importer.run({"deals": body}, create_missing=True)
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [("4", "amount")]
        assert any("'Unassigned' (1)" in text for text in done["warnings"])
        assert importer.one("select count(*) from companies") == 0
        assert importer.one("select count(*) from users") == 1
        assert importer.one("select count(*) from deals where source_id is not null") == 0
        assert importer.one("select title from deals where external_id = '4'") == "None"

    async def test_odd_cells_are_errors_of_their_rows(self, importer: Importer) -> None:
        body = (
            "external_id,stage,amount,created_at,close_date,owner_email,currency\n"
            "1,New,１２,2026-01-01,,,\n2,New,١٢٣,2026-01-01,,,\n3,New,1,٢٠٢٦-01-01,,,\n4,New,1,2026-01-01 10:00:60,,,\n"
            "5,New,1,2026-01-01,,@name,\n6,New,1,2026-01-01,,Ben Roy (Deactivated User),\n"
            '7,New,1,2026-01-01,,"a@x.example, b@x.example",\n8,New,1,2026-01-01,,Ana Weber (ana@x.example),\n'
            "9,New,1,2026-01-01,,Ana <ana@x.example>,ZZZ\n10,New,9999999999999999999999,2026-01-01,,,\n"
            "11,New,1,2026-01-01,,Ana Weber / Ben Roy,\n"
        )
        done = await importer.run({"deals": body}, create_missing=True)
        assert done["state"] == "completed", done
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [
            ("2", "amount"), ("3", "amount"), ("4", "created_at"), ("5", "created_at"), ("6", "owner_email"),
            ("8", "owner_email"), ("10", "currency"), ("11", "amount"),
            ("12", "owner_email"),
        ]  # fmt: skip
        owners = importer.rows("select name, email from users where name <> 'Robin Owner' order by name")
        assert [row["email"] for row in owners if row["name"] == "ana"] == ["ana@x.example"]
        assert [row["name"] for row in owners] == ["Ben Roy", "ana"]

    async def test_what_spreadsheets_make_of_long_numbers_is_no_other_number(self, importer: Importer) -> None:
        organization = importer.account.organization_id
        await importer.account.patch(f"/v1/organizations/{organization}", json={"time_zone": "Europe/Berlin"})
        body = "external_id,name,phone\n1,Ada,+4930123456.0\n2,Bo,1.23E+10\n1.23457E+12,Cy,\n1.5E,Di,\n"
        done = await importer.run({"contacts": body})
        found = importer.rows("select external_id, phone from contacts order by external_id")
        assert [tuple(row.values()) for row in found] == [("1", "+4930123456"), ("1.5E", None), ("2", "1.23E+10")]
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [("4", "external_id")]

    async def test_clocks_that_jump(self, importer: Importer) -> None:
        organization = importer.account.organization_id
        await importer.account.patch(f"/v1/organizations/{organization}", json={"time_zone": "Australia/Lord_Howe"})
        body = "external_id,stage,created_at\n1,New,2025-10-05 02:15\n2,New,2025-04-06 01:45\n3,New,1999-12-31 12:00\n"
        await importer.run({"deals": body})
        found = importer.rows("select created_at::text as at from deals order by external_id")
        # in the gap from 2:00 to 2:30 the clock before it counts on; of the half-hour that comes twice, the first
        assert [row["at"] for row in found] == [
            "2025-10-04 15:45:00+00", "2025-04-05 14:45:00+00", "1999-12-31 01:00:00+00",
        ]  # fmt: skip


class TestNames:
    async def test_ids_count_more_than_names_and_several_are_none(self, importer: Importer) -> None:
        files = {"companies": "external_id,name\nC-1,Northwind\nC-2,Northwind\n"}
        await importer.run(files)
        body = (
            "external_id,stage,company,company_external_id\n1,New,Northwind,C-1\n2,New,Northwind,C-2\n"
            "3,New,C-2,\n4,New,Northwind,\n5,New,Alpha GmbH;Beta SARL,\n"
        )
        done = await importer.run({"deals": body}, create_missing=True)
        found = importer.rows(
            "select d.external_id, c.external_id as company from deals d"
            " join companies c on c.id = d.company_id order by 1"
        )
        assert [tuple(row.values()) for row in found] == [("1", "C-1"), ("2", "C-2"), ("3", "C-2")]
        failed = await errors_of(importer, done)
        assert [(row, problem) for row, _, problem in failed] == [
            ("5", "Several companies have this name."), ("6", "These are several companies."),
        ]  # fmt: skip
        assert importer.one("select count(*) from companies") == 2

    async def test_a_stage_is_known_by_every_name_that_it_had(self, importer: Importer) -> None:
        files = {
            "deals": "external_id,stage,created_at\n1,Proposal,2026-03-02\n2,Qualified,2026-03-02\n",
            "deal_stage_history": "deal_external_id,stage,entered_at\n1,New,2026-03-02 09:00\n"
            "1,Proposal,2026-03-09 09:00\n",
        }
        await importer.run(files)
        [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
        stages = {stage["name"]: stage["id"] for stage in pipeline["stages"]}
        path = f"/v1/pipelines/{pipeline['id']}/stages"
        assert (
            await importer.account.patch(f"{path}/{stages['Proposal']}", version=1, json={"name": "Offer"})
        ).is_success
        await importer.account.post(
            f"/v1/deals/{importer.one('''select id from deals where external_id = '2' ''')}/move",
            json={"stage_id": stages["Negotiation"]}, headers={"If-Match": '"1"'},
        )  # fmt: skip
        assert (await importer.account.delete(f"{path}/{stages['Qualified']}", version=1)).is_success
        before = importer.one("select count(*) from event_log where aggregate_type in ('deal', 'stage')")
        done = await importer.run(files, create_missing=True)
        assert done["counts"]["unchanged"] == done["counts"]["total"], done
        assert importer.one("select count(*) from event_log where aggregate_type in ('deal', 'stage')") == before

    async def test_a_closed_stage_is_not_made_before_its_kind_is_said(self, importer: Importer) -> None:
        body = (
            "external_id,stage,created_at,close_date\n1,Closed Won,2026-01-02,2026-02-01\n"
            "2,closedlost,2026-01-02,2026-02-01\n3,In  Review,2026-01-02,\n4,in\u00a0review,2026-01-02,\n"
        )
        done = await importer.run({"deals": body}, create_missing=True)
        failed = await errors_of(importer, done)
        assert [(row, field) for row, field, _ in failed] == [("2", "stage"), ("3", "stage")]
        assert "open, won or lost" in failed[0][2]
        kinds = {"Closed Won": "won", "closedlost": "lost"}
        done = await importer.run({"deals": body}, create_missing=True, stage_kinds=kinds)
        assert done["counts"]["failed"] == 0
        assert importer.one("select count(*) from stages where lower(name) like 'in%%review'") == 1
        assert importer.one("select count(*) from deals where status <> 'open'") == 2


class TestPaths:
    async def test_one_instant_is_in_the_pipelines_order(self, importer: Importer) -> None:
        await importer.run(
            {
                "deals": "external_id,stage,created_at,closed_at\n1,Won,2026-03-02,2026-03-05\n",
                "deal_stage_history": "deal_external_id,stage,entered_at\n1,Won,2026-03-05\n1,Negotiation,2026-03-05\n"
                "1,Proposal,2026-03-05\n1,New,2026-03-02\n",
            }
        )
        assert path_of(importer, "1") == [
            ("deal.created", "New"), ("deal.stage.changed", "Proposal"), ("deal.stage.changed", "Negotiation"),
            ("deal.closed", "Won"),
        ]  # fmt: skip

    async def test_a_contradiction_is_an_error_and_no_move(self, importer: Importer) -> None:
        done = await importer.run(
            {
                "deals": "external_id,stage,created_at,closed_at\n1,Proposal,2026-03-02,\n2,New,2026-06-02,\n"
                "3,Won,2026-01-01,2026-08-01\n4,New,2026-01-01,2026-02-01\n",
                "deal_stage_history": "deal_external_id,stage,entered_at\n1,New,2026-03-02\n1,Qualified,2026-03-05\n"
                "2,New,2026-03-02\n3,New,2026-01-01\n3,Won,2026-02-01\n",
            }
        )
        # the last one needs no history to be wrong: open, and closed in February
        failed = [one for one in await errors_of(importer, done) if one[1]]
        assert [(row, field) for row, field, _ in failed] == [("2", "stage"), ("3", "created_at"), ("4", "closed_at")]
        assert importer.rows("select external_id from deals") == [{"external_id": "4"}]

    async def test_a_column_per_stage_is_a_history(self, importer: Importer) -> None:
        body = (
            "Record ID,Deal Name,Deal Stage,Create Date,Date entered New (Sales Pipeline),"
            '"Date entered ""Qualified (Sales Pipeline)""",Date entered Proposal (Sales Pipeline),Date exited New\n'
            "501,Wide,Proposal,2026-03-01 09:00,2026-03-01 09:00,2026-03-04 09:00,2026-03-09 09:00,2026-03-04 09:00\n"
            "502,Bad,Proposal,2026-03-01 09:00,2026-03-01 09:00,soon,2026-03-09 09:00,\n"
        )
        done = await importer.run({"deals": body}, preset="hubspot")
        assert path_of(importer, "501") == [
            ("deal.created", "New"), ("deal.stage.changed", "Qualified"), ("deal.stage.changed", "Proposal"),
        ]  # fmt: skip
        assert done["progress"]["deal_stage_history"]["created"] == 3
        assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [("3", "entered_at")]


async def test_inputs_of_reports_are_read_as_they_were_meant(importer: Importer, shared_data: Path) -> None:
    folder = shared_data / "import_reports"
    if not folder.is_dir():
        pytest.skip("needs the import_reports data set beside the project")
    expected: dict[str, tuple[dict[str, Any], set[str]]] = {
        "01-sep-line/deals.csv": ({}, {"D-1"}),
        "01-sep-line/deals-bom-quoted.csv": ({}, {"D-1"}),
        "02-day-month-mixed/deals.csv": ({}, {"D-1", "D-2", "D-3", "D-4"}),
        "04-european-thousands/deals-only-dots.csv": ({}, set()),
        "05-currency-symbol/deals.csv": ({}, {f"D-{n}" for n in range(1, 9)}),
        "09-semicolon-header-with-comma/deals-3.csv": ({}, {"D-1"}),
        "11-duplicate-headings/deals-trailing.csv": ({}, {"D-1", "D-2"}),
        "17-several-companies/deals.csv": ({"create_missing": True}, set()),
        "18-owner-who-left/deals.csv": ({"create_missing": True}, {"D-1", "D-2", "D-4", "D-5"}),
        "18-owner-who-left/deals-at-handle.csv": ({"create_missing": True}, set()),
        "19-closed-stages-become-open/deals.csv": ({"create_missing": True}, {"D-4"}),
        "21-negative-amount/deals.csv": ({}, {"N-1", "N-2"}),
    }
    for name, (options, good) in expected.items():
        shown = await preview(importer, {"deals": (folder / name).read_bytes()}, **options)
        bad = {problem["row"] for problem in shown["problems"]}
        read = {row["external_id"] for row in shown["files"][0]["first_rows"]}
        counts = shown["counts"]["deals"]
        assert counts["created"] == len(good), (name, shown)
        assert good <= read, (name, bad)
    for path in sorted((folder / "12-encodings").glob("*.csv")):
        if "heading" not in path.name:
            shown = await preview(importer, {"deals": path.read_bytes()})
            assert shown["files"][0]["first_rows"][0]["title"] == "Größe", path


_TWICE_CLOSED = (("a,Lost", "2026-03-01"), ("b,Won", "2026-03-01"), ("c,Lost", ""))


async def test_of_two_moments_that_of_the_stage_counts(importer: Importer) -> None:
    headings = "external_id,stage,created_at,won_at,lost_at\n"
    rows = "".join(f"{deal},2026-01-01,2026-02-01,{lost}\n" for deal, lost in _TWICE_CLOSED)
    done = await importer.run({"deals": headings + rows})
    assert [(row, field) for row, field, _ in await errors_of(importer, done)] == [("4", "won_at")]
    closed = importer.rows("select external_id, closed_at::date::text as day from deals order by external_id")
    assert [(row["external_id"], row["day"][:7]) for row in closed] == [("a", "2026-03"), ("b", "2026-02")]
