"""`sluice import`: what a person sees, and the exit code that a script sees."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from runtime.import_command import import_command
from tests.conftest import Database
from tests.factories import PASSWORD
from tests.imports.processes import start_api_process, start_worker_process

_APP = typer.Typer()
_APP.command()(import_command)
_EMAIL = "owner@example.org"


@pytest.fixture
def api_url(database: Database, tmp_path: Path) -> Iterator[str]:
    api, url = start_api_process(database, tmp_path)
    worker = start_worker_process(database, tmp_path)
    body = {"email": _EMAIL, "password": PASSWORD, "name": "Robin", "organization_name": "Acme"}
    assert httpx.post(f"{url}/v1/auth/signup", json=body).is_success
    yield url
    worker.stop()
    api.stop()


def _run(api_url: str, *arguments: str | Path) -> Result:
    words = [*map(str, arguments), "--api-url", api_url, "--email", _EMAIL, "--password", PASSWORD]
    return CliRunner().invoke(_APP, words, env={"COLUMNS": "200"})


def test_imports_previews_and_reports(api_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    deals = tmp_path / "deals.csv"
    deals.write_text("id;stage;owner\n1;New;Rae\n2;Nowhere;Rae\n")
    arguments = (deals, "--map", "id=external_id", "--map", "deals.owner=owner_email")

    unknown = _run(api_url, deals)
    assert unknown.exit_code == 2, unknown.output

    preview = _run(api_url, *arguments, "--create-missing", "--preview")
    assert preview.exit_code == 0, preview.output
    assert "would create 1 stages: Sales: Nowhere (open)" in preview.output
    assert "Nothing was written." in preview.output

    failing = _run(api_url, *arguments)
    assert failing.exit_code == 1
    assert "2 rows failed" in failing.output
    [errors] = tmp_path.glob("sluice-import-*-errors.csv")
    assert "There is no such user." in errors.read_text(encoding="utf-8-sig")
    assert "sluice-import-" in failing.output

    done = _run(api_url, *arguments, "--create-missing")
    assert done.exit_code == 0, done.output
    assert "Created users: Rae." in done.output
    again = _run(api_url, *arguments, "--create-missing")
    assert again.exit_code == 0
    assert "unchanged" in again.output
    learned = _run(api_url, deals)
    assert learned.exit_code == 0, learned.output
    assert "'id' is read as external_id, as it was in an import of" in learned.output

    things = tmp_path / "things.csv"
    things.write_text("a,b\n1,2\n")
    for wrong in (
        (things,),
        (tmp_path / "deals-that-are-not-there.csv",),
        (deals, "--map", "id=nothing"),
        ("--entity", f"dealz={deals}"),
        (),
    ):
        refused = _run(api_url, *wrong)
        assert refused.exit_code == 2, (wrong, refused.output)
        assert "Traceback" not in refused.output
        assert len(refused.output.strip()) > 20
