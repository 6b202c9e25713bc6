"""docker-compose.yml without a Docker engine: its references hold, and each service's exact command works against
embedded servers, with PostgreSQL as the warehouse."""

import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from pydantic_settings import BaseSettings

from contracts import settings
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.home import PROJECT
from runtime.migrate import AdminDatabaseSettings
from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests.conftest import RunningBroker
from tests.eventually import eventually

_COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
_OURS = {name: service for name, service in _COMPOSE["services"].items() if service.get("image") == "sluice:latest"}


class _BackupRole(BaseSettings):
    database_backup_url: str
    database_backup_password: str


class _Refresh(BaseSettings):
    dagster_home: Path
    dbt_target_path: Path
    refresh_poll_seconds: float
    settled_seconds: float


#: An engine waits longer; each look is a process of its own.
_PROBE_EVERY_SECONDS = 2.0
_PORT_SETTINGS = ("SLUICE_API_PORT", "SLUICE_DASHBOARDS_PORT", "SLUICE_DAGSTER_PORT")


#: What each service reads. No more, as some of it are secrets; no less, as .env would not reach it.
_READS: dict[str, list[type[BaseSettings]]] = {
    "migrate": [
        AdminDatabaseSettings, settings.DatabaseSettings, settings.RelayDatabaseSettings,
        settings.WorkerDatabaseSettings, settings.WarehouseSettings, _BackupRole,
    ],
    "api": [
        settings.ApiSettings, settings.DatabaseSettings, settings.WarehouseSettings,
        settings.MailSettings, settings.OutgoingSettings, settings.AiSettings, settings.BillingSettings,
        settings.RentalSettings,
    ],
    "worker": [
        settings.WorkerDatabaseSettings, settings.WorkerSettings, settings.FileSettings, settings.KafkaSettings,
        settings.SecretSettings, settings.MailSettings, settings.OutgoingSettings, settings.BillingSettings,
        settings.OutreachSettings, settings.RentalSettings, settings.AiSettings, settings.WarehouseSettings,
    ],
    "channels": [settings.ChannelSettings, settings.OutgoingSettings],
    "relay": [
        settings.RelayDatabaseSettings, settings.KafkaSettings, settings.WarehouseSettings, settings.RelaySettings,
    ],
    "loader": [settings.RelayDatabaseSettings, settings.KafkaSettings, settings.WarehouseSettings],
    "archive": [settings.BackupSettings, settings.FileSettings],
    "refresh": [settings.RelayDatabaseSettings, settings.WarehouseSettings, _Refresh],
    "dagster": [
        settings.RelayDatabaseSettings, settings.WorkerDatabaseSettings, settings.WarehouseSettings,
        settings.OrchestrationSettings, settings.OperatorSettings, settings.BillingSettings, settings.MailSettings,
        settings.ScoringSettings, settings.AlertSettings,
    ],
    "dashboards": [settings.DashboardSettings],
}  # fmt: skip


class TestReferences:
    def test_every_dependency_and_volume_exists(self) -> None:
        for name, service in _COMPOSE["services"].items():
            assert set(service.get("depends_on", {})) <= set(_COMPOSE["services"]), name
            for dependency, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    assert "healthcheck" in _COMPOSE["services"][dependency], dependency
            for volume in service.get("volumes", []):
                assert volume.split(":")[0] in _COMPOSE["volumes"], volume

    def test_containers_run_unprivileged_on_a_read_only_root(self) -> None:
        assert "USER 10001" in (PROJECT / "Dockerfile").read_text()
        for name, service in _OURS.items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name

    @pytest.mark.parametrize(("name", "classes"), _READS.items())
    def test_every_setting_of_a_service_reaches_it(self, name: str, classes: list[type[BaseSettings]]) -> None:
        wanted = {f"SLUICE_{field.upper()}" for one in classes for field in one.model_fields}
        missing = wanted - set(_OURS[name].get("environment", {}))
        assert missing == set(), "docker-compose.yml hands each setting on: SLUICE_X: ${SLUICE_X:-}"

    def test_no_service_gets_a_secret_that_it_does_not_use(self) -> None:
        for name, classes in _READS.items():
            known = {f"SLUICE_{field.upper()}" for one in classes for field in one.model_fields}
            assert set(_OURS[name].get("environment", {})) <= known, name

    def test_every_service_is_bounded_and_looked_after(self) -> None:
        for name, service in _COMPOSE["services"].items():
            assert {"mem_limit", "pids_limit", "stop_grace_period", "restart"} <= set(service), name
            assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
            assert "healthcheck" in service or name == "migrate", name

    def test_no_secret_and_no_state_gets_into_an_image(self) -> None:
        everything, *allowed = [
            line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
        ]
        assert everything == "*"
        ours = {line[1:] for line in allowed if line[0] == "!"}
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
        needed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
        assert ours == needed | {"dbt_project", "pyproject.toml", "uv.lock", "README.md", "LICENSE"}
        assert "**/.env*" in allowed

    def test_the_example_environment_lists_every_setting(self) -> None:
        example = (PROJECT / ".env.example").read_text()
        classes = [value for value in vars(settings).values() if isinstance(value, type)]
        fields = {name for one in [*classes, AdminDatabaseSettings] for name in getattr(one, "model_fields", {})}
        missing = {f"SLUICE_{name.upper()}" for name in fields if f"SLUICE_{name.upper()}=" not in example}
        assert missing == set()
        used = set(re.findall(r"\$\{(\w+):[?-]", (PROJECT / "docker-compose.yml").read_text()))
        assert {name for name in used if f"{name}=" not in example} == set()


class _Deployment:
    """Starts services of the compose file as plain processes, with its hosts, folders and ports mapped to ours."""

    def __init__(self, postgres: EmbeddedPostgres, broker: RunningBroker, folder: Path) -> None:
        self._folder = folder
        self._ports = {name: str(free_port()) for name in _PORT_SETTINGS}
        self._hosts = {
            "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
            "kafka:9092": broker.bootstrap_servers,
            "http://api:8000": f"http://127.0.0.1:{self._ports['SLUICE_API_PORT']}",
            "/var/lib/sluice/": f"{folder}/",
        }
        self._running: list[ManagedProcess] = []
        for name in ("files", "backups", "dagster", "dbt"):
            (folder / name).mkdir()

    @property
    def api_url(self) -> str:
        return self._hosts["http://api:8000"]

    def environment(self, service: str) -> dict[str, str]:
        # a base backup of the shared server would hold the databases of all other tests
        fixed = {"SLUICE_BACKUP_EVERY_HOURS": "0"} if service == "archive" else {}
        return {name: self._map(name, value) for name, value in _OURS[service].get("environment", {}).items()} | fixed

    def _map(self, name: str, value: str) -> str:
        if name in self._ports:
            return self._ports[name]
        if name.endswith("_HOST"):
            return "127.0.0.1"
        value = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for theirs, ours in self._hosts.items():
            value = value.replace(theirs, ours)
        value = re.sub(r"\$\{(\w+):\?\}", lambda found: self._secret(found[1]), value)
        return re.sub(r"(:\d+)/(sluice|warehouse)$", r"\1/compose_\2", value)

    def _secret(self, name: str) -> str:
        if name == "SLUICE_SECRET_KEY":
            return "k" * 40
        # the cluster is shared with other tests: roles keep the passwords that those use
        role = name.removeprefix("SLUICE_").removesuffix("_PASSWORD").lower()
        return f"{'superuser' if role == 'postgres' else role}-test-password"

    def run(self, service: str) -> None:
        """Run a one-shot service to its end."""
        process = self._start(service)
        eventually(lambda: not process.is_running(), seconds=60, what=f"{service} ends")
        assert process.exit_code() == 0, process.log_tail()

    def start(self, *services: str) -> None:
        """Start services and wait until their own health checks pass."""
        started = {service: self._start(service) for service in services}
        for service, process in started.items():
            if "healthcheck" in _OURS[service]:
                self._wait_until_healthy(service, process)

    def _wait_until_healthy(self, service: str, process: ManagedProcess) -> None:
        argv = [sys.executable if part == "python" else part for part in _OURS[service]["healthcheck"]["test"][1:]]

        def is_healthy() -> bool:
            assert process.is_running(), process.log_tail()
            probe = ManagedProcess(
                ProcessSpec(name=f"{service}-health", argv=argv, env=self.environment(service), cwd=PROJECT),
                log_path=self._folder / f"{service}-health.log",
            )
            probe.start()
            eventually(lambda: not probe.is_running(), seconds=30, what="the health check ends")
            return probe.exit_code() == 0

        eventually(is_healthy, seconds=120, every=_PROBE_EVERY_SECONDS, what=f"{service} is healthy")

    def _start(self, service: str) -> ManagedProcess:
        process = ManagedProcess(
            ProcessSpec(
                name=service,
                argv=[sys.executable, "-m", "runtime", *_OURS[service]["command"]],
                env=self.environment(service),
                cwd=PROJECT,
            ),
            log_path=self._folder / f"{service}.log",
        )
        process.start()
        self._running.append(process)
        return process

    def assert_all_run(self) -> None:
        for process in self._running:
            assert process.is_running() or process.exit_code() == 0, process.log_tail()

    def stop(self) -> None:
        for process in reversed(self._running):
            process.stop()


@pytest.fixture
def deployment(postgres: EmbeddedPostgres, fresh_broker: RunningBroker, tmp_path: Path) -> Iterator[_Deployment]:
    made = _Deployment(postgres, fresh_broker, tmp_path)
    yield made
    made.stop()
    with psycopg.connect(postgres.url(), autocommit=True) as admin:  # the server is shared with other tests
        admin.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")


@pytest.mark.slow
def test_each_service_runs_by_its_own_command_and_a_deal_reaches_the_funnel(deployment: _Deployment) -> None:
    deployment.run("migrate")
    deployment.start("api", "worker", "relay", "loader", "archive", "refresh", "dagster", "dashboards")
    with httpx.Client(base_url=deployment.api_url, timeout=30) as client:
        client.post(
            "/v1/auth/signup",
            json={
                "email": "owner@compose.example",
                "password": "a-long-test-password",
                "name": "Owner",
                "organization_name": "Compose",
                "time_zone": "UTC",
                "currency": "USD",
            },
        ).raise_for_status()
        tokens = client.post(
            "/v1/auth/login", json={"email": "owner@compose.example", "password": "a-long-test-password"}
        )
        client.headers["Authorization"] = f"Bearer {tokens.raise_for_status().json()['access_token']}"
        pipeline = client.get("/v1/pipelines").raise_for_status().json()["items"][0]
        client.post("/v1/deals", json={"pipeline_id": pipeline["id"], "title": "One"}).raise_for_status()
        year = datetime.now(UTC).year

        def entered() -> int:
            answer = client.get(
                "/v1/metrics/funnel",
                params={"pipeline_id": pipeline["id"], "from": f"{year}-01-01", "to": f"{year + 1}-01-01"},
            )
            return max((row["entered"] for row in answer.json().get("rows", [])), default=0)

        eventually(lambda: entered() == 1, seconds=120, what="the deal is in the funnel of the PostgreSQL warehouse")
    deployment.assert_all_run()
