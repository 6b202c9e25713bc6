"""Runs the dbt project inside this process: build, manifest, documentation.

The only place that sets the SLUICE_DBT_* variables of profiles.yml (dbt reads its connection from the environment and
nowhere else). A parsed project is kept, so that a warm refresh pays for its queries only. One build at a time.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import psycopg
from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventMsg

from contracts.settings import WarehouseSettings
from contracts.warehouse import RAW_EVENTS, RAW_SCHEMA
from orchestration.raw_state import generation_of, read_version

PROJECT_DIR = Path(__file__).resolve().parent.parent / "dbt_project"

_SUCCEEDED = {"success", "pass", "warn"}
_lock = threading.Lock()
_BUILDER = "select project from staging.build_progress"


@dataclass(frozen=True)
class _Project:
    manifest: Manifest
    digest: str


_projects: dict[tuple[str, str], _Project] = {}


class DbtError(RuntimeError):
    """A node failed, or dbt could not start: names the node, where there is one, and says what dbt said."""

    def __init__(self, message: str, *, node: str | None = None, failures: tuple[str, ...] = ()) -> None:
        self.node, self.failures = node, failures
        super().__init__(f"dbt node {node}: {message}" if node else f"dbt: {message}")


@dataclass(frozen=True)
class NodeResult:
    """What became of one model or test."""

    name: str
    resource_type: str
    status: str
    seconds: float
    message: str | None = None
    failures: int | None = None

    @property
    def is_success(self) -> bool:
        """Whether the node did what it should (a warning counts)."""
        return self.status in _SUCCEEDED


@dataclass(frozen=True)
class DbtBuild:
    """Outcome of a build in which nothing failed."""

    nodes: tuple[NodeResult, ...]
    seconds: float


OnNode = Callable[[NodeResult], None]


def build(
    warehouse: WarehouseSettings,
    *,
    target_path: Path,
    select: str | None = None,
    full_refresh: bool = False,
    on_node: OnNode | None = None,
    tests: bool = True,
) -> DbtBuild:
    """Bring the models up to date with the raw events and test them.

    Incremental unless `full_refresh`, or unless the models are not those that built the warehouse, or raw was rewritten
    since. A build of the whole project with its tests confirms the events it worked on; any other leaves them to the
    next. `on_node` hears of each node as it finishes. The DuckDB file is closed on return.

    Raises:
        DbtError: a model or test failed (the first one is named), or dbt could not run.
        ValueError: a full refresh of a selection: batch numbers of its models would no longer agree with the others'.
    """
    if full_refresh and select:
        raise ValueError("A full refresh rebuilds the whole project; it takes no selection.")
    arguments = ["build", "--no-write-json", "--exclude-resource-type", "unit_test"]
    if not tests:
        arguments += ["--exclude-resource-type", "test"]
    if select:
        arguments += ["--select", *select.split()]
    if full_refresh:
        arguments.append("--full-refresh")
    return _outcome(_invoke(arguments, warehouse=warehouse, target_path=target_path, on_node=on_node))


def run_unit_tests(warehouse: WarehouseSettings, *, target_path: Path, select: str | None = None) -> DbtBuild:
    """Run the project's dbt unit tests; the warehouse must have been built before.

    Raises:
        DbtError: a unit test failed, or dbt could not run.
    """
    arguments = ["test", "--resource-type", "unit_test"] + (["--select", *select.split()] if select else [])
    return _outcome(_invoke(arguments, warehouse=warehouse, target_path=target_path))


def parse_manifest(*, target_path: Path, target: str = "duckdb") -> Path:
    """Write the project's manifest.json without a warehouse and return its path (for `dagster_dbt.dbt_assets`).

    Raises:
        DbtError: the project does not parse.
    """
    with _environment({}):
        _run(["parse"], target=target, target_path=target_path)
    return target_path / "manifest.json"


def generate_docs(warehouse: WarehouseSettings, *, target_path: Path) -> Path:
    """Write dbt's documentation site of a built warehouse and return its index page.

    Raises:
        DbtError: dbt could not run.
    """
    _invoke(["docs", "generate", "--static"], warehouse=warehouse, target_path=target_path)
    return target_path / "static_index.html"


def connection_variables(warehouse: WarehouseSettings) -> dict[str, str]:
    """The SLUICE_DBT_* variables by which profiles.yml reaches a warehouse.

    Raises:
        ValueError: the warehouse's URL is neither `duckdb:///folder` nor `postgresql://…`.
    """
    url = urlsplit(warehouse.warehouse_url.get_secret_value())
    if url.scheme == "duckdb":
        folder = Path(unquote(url.path))
        return {
            "SLUICE_DBT_DUCKDB_PATH": str(folder / "build" / "warehouse.duckdb"),
            "SLUICE_DBT_RAW_EVENTS_PATH": str(folder / RAW_SCHEMA / RAW_EVENTS),
            "SLUICE_DBT_MEMORY_LIMIT": warehouse.warehouse_memory_limit,
        }
    if url.scheme in ("postgresql", "postgres"):
        return {
            "SLUICE_DBT_HOST": unquote(url.hostname or "127.0.0.1"),
            "SLUICE_DBT_PORT": str(url.port or 5432),
            "SLUICE_DBT_USER": unquote(url.username or ""),
            "SLUICE_DBT_PASSWORD": unquote(url.password or ""),
            "SLUICE_DBT_DATABASE": unquote(url.path.lstrip("/")),
        }
    raise ValueError(f"SLUICE_WAREHOUSE_URL must begin with duckdb:/// or postgresql://, not {url.scheme}://")


def _invoke(
    arguments: list[str], *, warehouse: WarehouseSettings, target_path: Path, on_node: OnNode | None = None
) -> dbtRunnerResult:
    variables = connection_variables(warehouse)
    duckdb_path = variables.get("SLUICE_DBT_DUCKDB_PATH")
    if duckdb_path:
        Path(duckdb_path).parent.mkdir(parents=True, exist_ok=True)
    target = "duckdb" if duckdb_path else "postgres"
    with _environment(variables):
        project = _parsed(target, variables, target_path)
        # read before dbt reads raw: a rewrite in between is then built from once more, not overlooked
        built_from = _built_from(project, read_version(warehouse.warehouse_url.get_secret_value()))
        if arguments[0] == "build" and "--select" not in arguments and _builder(variables) != built_from:
            arguments = [*arguments, "--full-refresh"]
        os.environ["SLUICE_DBT_PROJECT"] = built_from
        try:
            return _run(arguments, target=target, target_path=target_path, manifest=project.manifest, on_node=on_node)
        finally:
            del os.environ["SLUICE_DBT_PROJECT"]
            _close(target)


def _parsed(target: str, variables: Mapping[str, str], target_path: Path) -> _Project:
    key = (target, variables.get("SLUICE_DBT_DATABASE", ""))
    if key not in _projects:
        manifest: Any = _run(["parse"], target=target, target_path=target_path).result
        _projects[key] = _Project(manifest, _digest(manifest))
    return _projects[key]


def _digest(manifest: Manifest) -> str:
    """Hash of what decides the tables' content: the models' and the macros' texts."""
    texts = {name: node.checksum.checksum for name, node in manifest.nodes.items() if name.startswith("model.")}
    texts |= {macro.unique_id: macro.macro_sql for macro in manifest.macros.values() if macro.package_name == "sluice"}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def _built_from(project: _Project, raw_version: str | None) -> str:
    """What increments may build upon: the same models, over rows of raw that were since added and never replaced."""
    generation = generation_of(raw_version)
    return f"{project.digest}@{generation}" if generation else project.digest


def _builder(variables: Mapping[str, str]) -> str | None:
    """What the warehouse was built from; None for a new one."""
    try:
        if path := variables.get("SLUICE_DBT_DUCKDB_PATH"):
            with duckdb.connect(path) as file:
                row = file.execute(_BUILDER).fetchone()
        else:
            with psycopg.connect(
                host=variables["SLUICE_DBT_HOST"],
                port=variables["SLUICE_DBT_PORT"],
                user=variables["SLUICE_DBT_USER"],
                password=variables["SLUICE_DBT_PASSWORD"],
                dbname=variables["SLUICE_DBT_DATABASE"],
            ) as server:
                row = server.execute(_BUILDER).fetchone()
    except (duckdb.CatalogException, psycopg.errors.UndefinedTable):
        return None
    return str(row[0]) if row else None


def _run(
    arguments: list[str],
    *,
    target: str,
    target_path: Path,
    manifest: Manifest | None = None,
    on_node: OnNode | None = None,
) -> dbtRunnerResult:
    runner = dbtRunner(manifest=manifest, callbacks=[_listener(on_node)] if on_node else [])
    result = runner.invoke(
        [
            *arguments,
            "--project-dir", str(PROJECT_DIR),
            "--profiles-dir", str(PROJECT_DIR),
            "--target", target,
            "--target-path", str(target_path),
            "--log-path", str(target_path / "logs"),
            "--log-level", "none",
            "--log-level-file", "none",
            "--quiet",
        ]
    )  # fmt: skip
    if result.exception is not None:
        raise DbtError(str(result.exception)) from result.exception
    return result


def _close(target: str) -> None:
    """Give up the connections: readers copy the DuckDB file, and PostgreSQL counts what stays open."""
    adapter = get_adapter_by_type(target)  # type: ignore[no-untyped-call]  # dbt's own
    adapter.cleanup_connections()
    close_all = getattr(adapter.ConnectionManager, "close_all_connections", None)
    if close_all is not None:
        close_all()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Hold the process's dbt environment: one call at a time, the variables gone afterwards."""
    with _lock:
        os.environ.update(variables)
        try:
            yield
        finally:
            for name in variables:
                del os.environ[name]


def _listener(on_node: OnNode) -> Callable[[EventMsg], None]:
    def listen(message: EventMsg) -> None:
        if message.info.name != "NodeFinished":
            return
        info, result = message.data.node_info, message.data.run_result
        on_node(
            NodeResult(
                name=info.node_name,
                resource_type=info.resource_type,
                status=result.status,
                seconds=result.execution_time,
                message=result.message or None,
                failures=result.num_failures,
            )
        )

    return listen


def _outcome(result: dbtRunnerResult) -> DbtBuild:
    answer: Any = result.result  # what it is depends on the command
    nodes = tuple(
        NodeResult(
            name=node.node.name,
            resource_type=str(node.node.resource_type),
            status=str(node.status),
            seconds=node.execution_time,
            message=node.message,
            failures=node.failures,
        )
        for node in answer.results
    )
    failed = [node for node in nodes if not node.is_success and node.status != "skipped"]
    if failed:
        first = failed[0]
        raise DbtError(first.message or first.status, node=first.name, failures=tuple(node.name for node in failed))
    return DbtBuild(nodes=nodes, seconds=answer.elapsed_time)
