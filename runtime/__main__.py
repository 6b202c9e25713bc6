"""`python -m runtime`: what `./sluice` runs.

What runs for long goes straight to its room: the whole command line weighs more than most processes do.
"""

import importlib
import sys

from runtime.processes import PROCESSES
from runtime.serve import serve

if len(sys.argv) == 2 and sys.argv[1] in PROCESSES:
    sys.exit(serve(sys.argv[1]))
_QUICK = {"up": "runtime.up", **dict.fromkeys(("down", "reload", "status"), "runtime.status_command")}
importlib.import_module(_QUICK.get("".join(sys.argv[1:2]), "runtime.cli")).main()
