"""Runs the dbt project inside this process, and knows its parts: which model and test belongs to which group and speed.

The only place that sets the SLUICE_DBT_* variables of profiles.yml (dbt reads its connection from the environment and
nowhere else). A parsed project is kept, so that a warm refresh pays for its queries only. One call at a time.
"""

import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import SingularTestNode
from dbt_common.events.base_types import EventMsg

from contracts.settings import WarehouseSettings
from contracts.warehouse import RAW_EVENTS, RAW_SCHEMA, Mart, Part, duckdb_folder
from orchestration.build.database import build_path
from orchestration.build.project import Project as Project

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"

_lock = threading.Lock()


class DbtError(RuntimeError):
    """A node failed, or dbt could not start: names the node, where there is one, and says what dbt said."""

    def __init__(self, message: str, *, node: str | None = None, failures: tuple[str, ...] = ()) -> None:
        self.node, self.failures = node, failures
        super().__init__(f"dbt node {node}: {message}" if node else f"dbt: {message}")


@dataclass(frozen=True)
class NodeResult:
    """What became of one model or test."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    seconds: float
    message: str | None = None
    failures: int | None = None
    sql: str = ""  # as it ran, with the names of this warehouse

    @property
    def is_success(self) -> bool:
        """Whether the node did what it should (a warning counts)."""
        return self.status in ("success", "pass", "warn")


OnNode = Callable[[NodeResult], None]


_projects: dict[tuple[str, str], Project] = {}

_FLOATS = re.compile(r"double|float|real", re.IGNORECASE)


def _check_types(manifest: Manifest) -> None:
    """Refuse floats in published marts: their sums depend on the order of rows, so that engines and builds disagree.

    Raises:
        DbtError: a column is one.
    """
    for node in manifest.nodes.values():
        for column in node.columns.values() if Mart.named(node.name) else ():
            if _FLOATS.search(str(column.data_type or "")):
                raise DbtError(
                    f"column {column.name} is a {column.data_type}. Sums of floats depend on the order of rows: make it"
                    " a bigint of the smallest unit, or a numeric(38, n)",
                    node=node.name,
                )


def is_edited(since: Mapping[Path, int]) -> bool:
    """Whether the project's files are others than when `file_times` was asked."""
    return file_times() != since


def file_times() -> dict[Path, int]:
    """The project's files, and when each was last written: what tells, at the price of a look, that it was edited."""
    folders = [PROJECT_DIR / name for name in ("models", "macros", "tests")]
    files = [PROJECT_DIR / "dbt_project.yml", *(path for one in folders for path in one.rglob("*") if path.is_file())]
    return {path: path.stat().st_mtime_ns for path in files}


def forget_projects() -> None:
    """Have the project parsed again at its next use."""
    with _lock:
        _projects.clear()


def load_project(warehouse: WarehouseSettings, *, target_path: Path) -> Project:
    """The project, parsed once per process and kind of warehouse.

    Raises:
        DbtError: the project does not parse.
    """
    variables = connection_variables(warehouse)
    with _environment(variables):
        return _parsed(variables, target_path)


def run(
    warehouse: WarehouseSettings,
    parts: Collection[Part],
    *,
    target_path: Path,
    full_refresh: bool = False,
    tests: bool = True,
    on_node: OnNode | None = None,
) -> list[NodeResult]:
    """Build and test parts; answers what became of each node, also of those that failed.

    Raises:
        DbtError: dbt could not run.
    """
    selection = [f"group:{part.group.value},config.meta.speed:{part.speed.value}" for part in parts]
    # a test is run with the last of the models that it reads
    arguments = ["build", "--no-write-json", "--indirect-selection", "buildable", "--select", *selection]
    # what is left out of a build: views stand as they are, and unit tests look at no data
    arguments += [] if full_refresh else ["--exclude", "config.materialized:view"]
    arguments += ["--exclude-resource-type", "unit_test"] + ([] if tests else ["--exclude-resource-type", "test"])
    arguments += ["--full-refresh"] if full_refresh else []
    return _results(_invoke(arguments, warehouse=warehouse, target_path=target_path, on_node=on_node))


def run_tests(warehouse: WarehouseSettings, *, target_path: Path) -> list[NodeResult]:
    """Run the models' tests over all rows; answers what they found.

    Raises:
        DbtError: dbt could not run.
    """
    arguments = ["test", "--exclude-resource-type", "unit_test"]
    return _results(_invoke(arguments, warehouse=warehouse, target_path=target_path))


def compile_models(warehouse: WarehouseSettings, names: Collection[str], *, target_path: Path) -> dict[str, str]:
    """The queries of models, as they would run on this warehouse.

    Raises:
        DbtError: dbt could not run.
    """
    found = _results(_invoke(["compile", "--select", *names], warehouse=warehouse, target_path=target_path))
    return {node.name: node.sql for node in found}


@dataclass(frozen=True)
class SourceFreshness:
    """How old the newest row of raw is, against what its description promises: pass, warn or error."""

    status: str
    loaded_at: datetime | None


def read_source_freshness(warehouse: WarehouseSettings, *, target_path: Path) -> SourceFreshness:
    """What `dbt source freshness` says of raw. Where nothing was loaded yet, there is nothing that could be late.

    Raises:
        DbtError: dbt could not run.
    """
    arguments = [
        "source",
        "freshness",
        "--select",
        f"source:{RAW_SCHEMA}.{RAW_EVENTS}",
        "--output",
        str(target_path / "sources.json"),
    ]
    result: Any = _invoke(arguments, warehouse=warehouse, target_path=target_path).result
    found = next(one for one in result.results if one.node.resource_type == "source")
    loaded_at = getattr(found, "max_loaded_at", None)
    if loaded_at is None or loaded_at.year == 1:  # so dbt says that there is no row; without a relation it fails
        return SourceFreshness("pass", None)
    return SourceFreshness(str(found.status), loaded_at)


def run_unit_tests(warehouse: WarehouseSettings, *, target_path: Path, select: str | None = None) -> list[NodeResult]:
    """Run the project's dbt unit tests; the warehouse must have been built before.

    Raises:
        DbtError: a unit test failed, or dbt could not run.
    """
    arguments = ["test", "--resource-type", "unit_test"] + (["--select", *select.split()] if select else [])
    nodes = _results(_invoke(arguments, warehouse=warehouse, target_path=target_path))
    require_success(nodes)
    return nodes


def require_success(nodes: Collection[NodeResult]) -> None:
    """Let a failure be an error.

    Raises:
        DbtError: a model or test failed; the first one is named.
    """
    failed = [node for node in nodes if not node.is_success and node.status != "skipped"]
    if failed:
        first = failed[0]
        raise DbtError(first.message or first.status, node=first.name, failures=tuple(node.name for node in failed))


def parse_manifest(*, target_path: Path, target: str = "duckdb") -> Path:
    """Write the project's manifest.json without a warehouse and return its path.

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
    """The SLUICE_DBT_* variables by which profiles.yml reaches a warehouse."""
    warehouse_url = warehouse.warehouse_url.get_secret_value()
    if (folder := duckdb_folder(warehouse_url)) is not None:
        return {
            "SLUICE_DBT_DUCKDB_PATH": str(build_path(warehouse_url)),
            "SLUICE_DBT_RAW_EVENTS_PATH": str(folder / RAW_SCHEMA / RAW_EVENTS),
            "SLUICE_DBT_MEMORY_LIMIT": warehouse.warehouse_memory_limit,
        }
    url = urlsplit(warehouse_url)
    return {
        "SLUICE_DBT_HOST": unquote(url.hostname or "127.0.0.1"),
        "SLUICE_DBT_PORT": str(url.port or 5432),
        "SLUICE_DBT_USER": unquote(url.username or ""),
        "SLUICE_DBT_PASSWORD": unquote(url.password or ""),
        "SLUICE_DBT_DATABASE": unquote(url.path.lstrip("/")),
    }


def _invoke(
    arguments: list[str], *, warehouse: WarehouseSettings, target_path: Path, on_node: OnNode | None = None
) -> dbtRunnerResult:
    variables = connection_variables(warehouse)
    if path := variables.get("SLUICE_DBT_DUCKDB_PATH"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    target = _target(variables)
    with _environment(variables):
        manifest = _parsed(variables, target_path).manifest
        try:
            return _run(arguments, target=target, target_path=target_path, manifest=manifest, on_node=on_node)
        finally:
            _close(target)


def _target(variables: Mapping[str, str]) -> str:
    return "duckdb" if "SLUICE_DBT_DUCKDB_PATH" in variables else "postgres"


def _parsed(variables: Mapping[str, str], target_path: Path) -> Project:
    key = (_target(variables), variables.get("SLUICE_DBT_DATABASE", ""))
    if key not in _projects:
        manifest: Any = _run(["parse"], target=key[0], target_path=target_path).result
        if _is_forgetful(manifest):
            manifest = _run(["parse", "--no-partial-parse"], target=key[0], target_path=target_path).result
        _check_types(manifest)
        _projects[key] = Project(manifest)
    return _projects[key]


def _is_forgetful(manifest: Manifest) -> bool:
    """Whether dbt lost what files say of tests that are statements of their own.

    It does, of those that read a model whose description has changed since it parsed last.
    """
    return any(isinstance(node, SingularTestNode) and node.patch_path is None for node in manifest.nodes.values())


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
    if result.exception is not None and not isinstance(result.exception, Exception):
        raise result.exception  # told to stop: dbt catches that, too
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
                unique_id=info.unique_id,
                name=info.node_name,
                resource_type=info.resource_type,
                status=result.status,
                seconds=result.execution_time,
                message=result.message or None,
                failures=result.num_failures,
            )
        )

    return listen


def _results(result: dbtRunnerResult) -> list[NodeResult]:
    answer: Any = result.result  # what it is depends on the command
    hooks = [node for node in answer.results if node.node.resource_type == "operation"]
    if failed := [hook for hook in hooks if hook.status != "success"]:
        raise DbtError(failed[0].message, node=failed[0].node.name)
    return [
        NodeResult(
            unique_id=node.node.unique_id,
            name=node.node.name,
            resource_type=str(node.node.resource_type),
            status=str(node.status),
            seconds=node.execution_time,
            message=node.message,
            failures=node.failures,
            sql=getattr(node.node, "compiled_code", None) or "",
        )
        for node in answer.results
        if node not in hooks
    ]
