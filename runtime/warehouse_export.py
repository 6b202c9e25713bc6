"""`sluice warehouse export`: an organization's star schema as Parquet files with a data dictionary.

What the warehouse holds is ids, facts and numbers: no name, address or text of a person.
"""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import duckdb
import polars as pl
import psycopg
import typer
import yaml
from rich.console import Console

from contracts.settings import WarehouseSettings
from contracts.warehouse import PUBLISHED_SCHEMA, Mart, duckdb_folder
from metrics.publication import PublishedFolder
from runtime.home import PROJECT
from runtime.status import use_running_stack

console = Console(highlight=False)

_MODELS = PROJECT / "dbt_project" / "models" / "marts"
_BATCH = 100_000
_NUMERIC = re.compile(r"numeric\((\d+), ?(\d+)\)")
_TYPES: dict[str, pl.DataType] = {
    "uuid": pl.String(),
    "text": pl.String(),
    "boolean": pl.Boolean(),
    "integer": pl.Int32(),
    "bigint": pl.Int64(),
    "date": pl.Date(),
    "timestamp with time zone": pl.Datetime("us", "UTC"),
    "timestamptz": pl.Datetime("us", "UTC"),
}
_COLUMNS = "select table_name, column_name from information_schema.columns where $1 is not null"
_README = """# {count} tables of one organization

Version {version} of the warehouse. `dictionary.json` says of each table and column what it is. `organization_id` leads
every key; rows with `known_to` empty are what is known now, `valid_to` empty what is so now. Times are UTC, amounts
whole minor units of their `currency`. People, deals, companies and contacts are ids: their names are Sluice's API's.

    duckdb -c "select status, count(*) from 'fct_deals.parquet' where known_to is null group by 1"
    polars: pl.scan_parquet("fct_deals.parquet").filter(pl.col("known_to").is_null()).group_by("status").len().collect()
"""


class ExportError(RuntimeError):
    """Nothing can be exported: says why."""


@dataclass(frozen=True)
class Table:
    """A mart as the dbt project describes it."""

    name: str
    group: str
    description: str
    columns: dict[str, tuple[str, str]]  # name -> type and description

    @property
    def schema(self) -> pl.Schema:
        """Its columns as Polars', and so Parquet's, types."""
        return pl.Schema({name: _type(kind) for name, (kind, _) in self.columns.items()})

    def within(self, present: Collection[tuple[str, str]]) -> "Table":
        """Its columns that are published: a version of earlier models lacks the newest."""
        columns = {name: told for name, told in self.columns.items() if (self.name, name) in present}
        return replace(self, columns=columns)


def export_command(
    folder: Annotated[Path, typer.Argument(help="Made, or empty.")],
    *,
    organization: Annotated[UUID, typer.Option(help="Whose.")],
) -> None:
    """Write an organization's marts as Parquet with a data dictionary; nothing personal is in them."""
    use_running_stack(unless_named="SLUICE_WAREHOUSE_URL")
    rows = export(WarehouseSettings().warehouse_url.get_secret_value(), organization, folder)
    for name, count in rows.items():
        console.print(f"{name:<28}{count:>12,}")
    console.print(f"{folder}: see README.md and dictionary.json")


def export(warehouse_url: str, organization_id: UUID, folder: Path) -> dict[str, int]:
    """Write the files; answers how many rows each table has.

    Raises:
        ExportError: the folder is in use, nothing is published, or the warehouse knows no such organization.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is there already. Name a folder that is empty, or is not there yet.")
    with _published(warehouse_url) as (version, read):
        known = next(
            read(f"select count(*) from {Mart.DIM_ORGANIZATIONS.value} where organization_id = $1", organization_id)
        )
        if not known[0][0]:
            raise ExportError(f"The published warehouse knows no organization {organization_id}.")
        present = {place for rows in read(_COLUMNS, organization_id) for place in rows}
        tables = [found for table in describe() if (found := table.within(present)).columns]
        folder.mkdir(parents=True, exist_ok=True)
        counts = {table.name: _write(table, read, organization_id, folder) for table in tables}
    dictionary = {
        "version": version,
        "organization_id": str(organization_id),
        "tables": [
            {
                "name": table.name,
                "file": f"{table.name}.parquet",
                "group": table.group,
                "description": table.description,
                "rows": counts[table.name],
                "columns": [
                    {"name": name, "type": kind, "description": told} for name, (kind, told) in table.columns.items()
                ],
            }
            for table in tables
        ],
    }
    (folder / "dictionary.json").write_text(
        json.dumps(dictionary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "README.md").write_text(_README.format(count=len(tables), version=version), encoding="utf-8")
    return counts


def describe() -> list[Table]:
    """The published marts, as the dbt project describes them."""
    models = {
        model["name"]: model
        for path in sorted(_MODELS.rglob("_*__models.yml"))
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", [])
    }
    return [
        Table(
            mart.value,
            mart.group.value,
            " ".join(str(models[mart.value]["description"]).split()),
            {
                one["name"]: (str(one["data_type"]), " ".join(str(one["description"]).split()))
                for one in models[mart.value]["columns"]
            },
        )
        for mart in Mart
    ]


def _type(kind: str) -> pl.DataType:
    if known := _TYPES.get(kind.lower()):
        return known
    if kind.endswith("[]"):
        return pl.List(_type(kind.removesuffix("[]")))
    if numeric := _NUMERIC.fullmatch(kind.lower()):
        return pl.Decimal(int(numeric[1]), int(numeric[2]))
    raise ExportError(f"columns of type {kind} cannot be exported")


def _write(table: Table, read: Any, organization_id: UUID, folder: Path) -> int:  # noqa: ANN401  # a callable of two drivers
    names = ", ".join(table.columns)
    batches = read(f"select {names} from {table.name} where organization_id = $1 order by {names}", organization_id)
    frames = [
        pl.DataFrame([[_plain(value) for value in row] for row in rows], schema=table.schema, orient="row")
        for rows in batches
    ]
    whole = pl.concat(frames) if frames else pl.DataFrame(schema=table.schema)
    whole.write_parquet(folder / f"{table.name}.parquet")
    return whole.height


def _plain(value: Any) -> Any:  # noqa: ANN401  # a cell
    return str(value) if isinstance(value, UUID) else value


@contextmanager
def _published(warehouse_url: str) -> Iterator[tuple[str, Any]]:
    """The published version's name, and what reads rows of it in batches."""
    root = duckdb_folder(warehouse_url)
    if root is None:
        with psycopg.connect(warehouse_url, options=f"-c search_path={PUBLISHED_SCHEMA} -c TimeZone=UTC") as server:
            server.read_only = True
            row = server.execute("select version from current_version").fetchone()
            yield (
                str(row[0]) if row else "none",
                lambda text, value: _batches(server.execute(text.replace("$1", "%s").encode(), (value,))),
            )
        return
    folder = PublishedFolder(root)
    version = folder.current()
    if version is None:
        raise ExportError("No version of the warehouse has been published yet.")
    with folder.hold(version), duckdb.connect(folder.path_of(version), read_only=True) as file:
        file.execute("set timezone = 'UTC'")
        yield version.version, lambda text, value: _batches(file.execute(text, [value]))


def _batches(answer: Any) -> Iterator[list[tuple[Any, ...]]]:  # noqa: ANN401  # a cursor of two drivers
    while rows := answer.fetchmany(_BATCH):
        yield rows
