"""The dbt project's manifest, as Dagster needs it to know models, tests and lineage before anything runs.

Parsing takes seconds and several of Dagster's processes need it, so it is kept under a hash of the project.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.dbt_runner import PROJECT_DIR, parse_manifest

_SOURCES = ("*.sql", "*.yml", "*.csv")


def project_hash(project: Path = PROJECT_DIR) -> str:
    """Digest of the project's files: the same models, macros and tests have the same hash."""
    digest = hashlib.sha256()
    files = {path for pattern in _SOURCES for path in project.rglob(pattern)}
    for path in sorted(files):
        if "target" not in path.relative_to(project).parts:
            digest.update(str(path.relative_to(project)).encode())
            digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def load_manifest(target_path: Path) -> Mapping[str, Any]:
    """The manifest of the project as it is now, parsed if no process has done so before.

    Raises:
        DbtError: the project does not parse.
    """
    kept = target_path / "manifests" / f"{project_hash().removeprefix('sha256:')[:16]}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            parse_manifest(target_path=Path(folder)).replace(kept)
    manifest: Mapping[str, Any] = json.loads(kept.read_bytes())
    return manifest
