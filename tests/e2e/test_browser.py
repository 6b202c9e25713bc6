"""The dashboards of the running product in headless Chromium: sign-in, funnel, drill-down, team, data health."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.home import PROJECT
from tests.e2e.conftest import SluiceStack
from tests.eventually import eventually


@pytest.mark.browser
def test_a_manager_signs_in_and_opens_the_deals_behind_a_figure(sluice: SluiceStack, tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium (Debian and Ubuntu: apt-get install chromium)")
    manager = sluice.sign_in("manager@example.com")
    eventually(
        lambda: manager.get("/v1/freshness").json()["events_behind"] == 0, what="the demo is published", seconds=240
    )
    # the script fails where a page shows no figure, and the drill-down where its total is not the figure's
    done = subprocess.run(
        [sys.executable, "-m", "tests.screenshots", "--url", sluice.dashboards_url, "--folder", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    taken = {path.name for path in tmp_path.glob("*.png") if path.stat().st_size > 20_000}
    assert taken == {"funnel.png", "drill-down.png", "team.png", "data-health.png"}
