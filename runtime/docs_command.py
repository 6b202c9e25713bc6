"""`sluice dbt-docs` and `sluice data-docs`: documentation of the warehouse, made anew and shown in a browser."""

from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.settings import OrchestrationSettings, WarehouseSettings
from orchestration.build.dbt import generate_docs, load_project
from orchestration.build.lock import build_lock
from orchestration.build.mart_quality import MartQuality
from orchestration.build.raw_quality import judge_raw
from orchestration.docs import docs_folder, keep_dbt_docs, write_index
from orchestration.warehouse import LOCK_SECONDS
from runtime.status import use_running_stack

console = Console(highlight=False)

_URL = "SLUICE_WAREHOUSE_URL"
_RAW_DAYS = 2

_Serve = Annotated[bool, typer.Option(help="Show it on 127.0.0.1 until Ctrl-C.")]
_Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the server; 0 is any free one.")]


def dbt_docs_command(*, serve: _Serve = True, port: _Port = 8580) -> None:
    """Make the dbt project's documentation anew: models, columns, tests, lineage, what uses them."""
    use_running_stack(unless_named=_URL)
    warehouse, settings = WarehouseSettings(), OrchestrationSettings()
    url = warehouse.warehouse_url.get_secret_value()
    with build_lock(url, holder="./sluice dbt-docs", wait_seconds=LOCK_SECONDS):
        index = generate_docs(warehouse, target_path=settings.dbt_target_path.absolute())
    kept = keep_dbt_docs(index, docs_folder(settings))
    _show(kept.parent, docs_folder(settings), serve=serve, port=port)


def data_docs_command(*, serve: _Serve = True, port: _Port = 8581) -> None:
    """Look at raw and marts with Great Expectations now, and show what was found. Nothing is held by it."""
    use_running_stack(unless_named=_URL)
    warehouse, settings = WarehouseSettings(), OrchestrationSettings()
    url = warehouse.warehouse_url.get_secret_value()
    quality = MartQuality(settings.dagster_home.absolute() / "quality")
    project = load_project(warehouse, target_path=settings.dbt_target_path.absolute())
    raw = judge_raw(url, since=datetime.now(UTC) - timedelta(days=_RAW_DAYS), docs=quality.raw_docs)
    with build_lock(url, holder="./sluice data-docs", wait_seconds=LOCK_SECONDS):
        values = quality.measure(url, project)
    marts = quality.judge(values)
    told = [(one.check.value, one.passed, one.message) for one in raw]
    told += [(f"{one.measure.mart.value} {one.measure.name}", one.passed, one.message) for one in marts]
    for name, passed, message in told:
        if not passed:
            console.print(f"[red]{name}[/red]: {message}")
    console.print(f"{sum(passed for _, passed, _ in told)} of {len(told)} checks hold.")
    _show(docs_folder(settings), docs_folder(settings), serve=serve, port=port)
    if not serve:
        raise typer.Exit(0 if all(passed for _, passed, _ in told) else 1)


def _show(folder: Path, root: Path, *, serve: bool, port: int) -> None:
    write_index(root)
    console.print(f"{folder / 'index.html'}; operators see it on Dagster's server under /docs.")
    if not serve:
        return
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        console.print(f"http://127.0.0.1:{server.server_port}  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("ended")
