"""`./sluice` without a virtual environment says what is in its way."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.home import PROJECT


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root, who becomes nobody")
def test_a_clone_that_cannot_be_written_is_named_and_not_pythons_packages(tmp_path: Path) -> None:
    clone = Path(shutil.copy(PROJECT / "sluice", tmp_path / "sluice")).parent
    (clone / "uv.lock").touch()
    for folder in [clone, *clone.parents]:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [
            str(shutil.which("setpriv")),
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            str(clone / "sluice"),
            "status",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"cannot write to {clone}" in done.stderr
    assert "python3-venv" not in done.stderr
