import os
import subprocess
import sys

from runtime.home import PROJECT

_PROCESS = """
from runtime.allocators import give_memory_back
give_memory_back()
import deltalake, duckdb, polars
duckdb.connect().execute("select 1")
from pathlib import Path
print(sum(path.read_text().startswith("jemalloc_bg_thd") for path in Path("/proc/self/task").glob("*/comm")))
"""


def _background_threads(**environment: str) -> int:
    """How many threads give memory back in a process that has imported the engines."""
    argv = [sys.executable, "-c", _PROCESS]
    done = subprocess.run(
        argv, cwd=PROJECT, env=os.environ | environment, check=True, capture_output=True, text=True, timeout=60
    )
    assert "jemalloc" not in done.stderr, "an option that this release does not know"
    return int(done.stdout)


def test_the_engines_know_the_options_and_a_persons_own_go_first() -> None:
    assert _background_threads() > 0
    assert _background_threads(_RJEM_MALLOC_CONF="background_thread:false") == 0
