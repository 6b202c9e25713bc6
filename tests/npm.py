"""Programs of npm's that tests talk to: fetched once into the cache of whoever runs the tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sluice"


def installed(folder: Path, name: str) -> Path:
    """The folder with the packages that a `package.json` names; skips the test where they cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"needs node and npm, for {name} of npm's")
    cache, wanted = _CACHE / name, (folder / "package.json").read_text()
    kept = cache / "package.json"
    if not kept.is_file() or kept.read_text() != wanted or not (cache / "node_modules").is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(wanted)
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],  # noqa: S607 # found above
            cwd=cache,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            kept.unlink()
            pytest.skip(f"npm cannot fetch {name} here")
    return cache
