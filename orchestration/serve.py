"""Dagster's own processes: one code server, the pages, and the daemon that runs schedules. They share one instance.

Beside them runs the scorer, where organizations take part in scoring.
"""

from pathlib import Path

import yaml

from contracts.settings import OrchestrationSettings, ScoringSettings

_LOCATION = "sluice"
_MODULE = "orchestration.definitions"
_PROGRAM = "orchestration.program"


def commands(settings: OrchestrationSettings, *, socket_path: Path) -> list[tuple[str, list[str], bool]]:
    """Name of each, module with its arguments, and whether what follows has to wait for it: the daemon has nothing to
    do before the code server answers.

    Writes the home's workspace file; the code server listens on a socket, not on a port.
    """
    home = settings.dagster_home.absolute()
    workspace = home / "workspace.yaml"
    server = {"grpc_server": {"socket": str(socket_path), "host": "localhost", "location_name": _LOCATION}}
    workspace.write_text(yaml.safe_dump({"load_from": [server]}), encoding="utf-8")
    scorer = [("scorer", ["orchestration.scorer"], False)] if ScoringSettings().scores_keys else []
    return [
        ("pages", [
            "orchestration.pages", "--workspace", str(workspace), "--host", settings.dagster_host,
            "--port", str(settings.dagster_port),
        ], False),
        ("code server", [
            _PROGRAM, "dagster", "api", "grpc", "--module-name", _MODULE, "--location-name", _LOCATION,
            "--socket", str(socket_path),
        ], True),
        ("daemon", [_PROGRAM, "dagster._daemon", "run", "--workspace", str(workspace)], False),
        *scorer,
    ]  # fmt: skip
