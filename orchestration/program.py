"""Runs one of Dagster's own programs as `python -m` would: `python -m orchestration.program MODULE [ARGUMENT…]`.

Once it has settled, what it has imported is kept from Python's collector. Else that looks through all of it each time
(the daemon stands still for a third of a second), and therefore waits until a quarter as much may be garbage.
"""

import atexit
import gc
import runpy
import sys
import threading

_SETTLED_SECONDS = 30.0


def _keep_from_collector() -> None:
    gc.collect()
    gc.freeze()


def main(argv: list[str]) -> None:
    """Run the module `argv[0]` with the rest as its arguments."""
    settling = threading.Timer(_SETTLED_SECONDS, _keep_from_collector)
    settling.daemon = True
    settling.start()
    atexit.register(gc.unfreeze)  # so that modules are torn down as they expect to be
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
