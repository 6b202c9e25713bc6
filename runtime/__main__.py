"""`python -m runtime`: what `./sluice` runs.

What runs for long goes straight to its room: the whole command line weighs more than most processes do.
"""

import importlib
import sys

from runtime.processes import PROCESSES
from runtime.serve import serve

if len(sys.argv) == 2 and sys.argv[1] in PROCESSES:
    sys.exit(serve(sys.argv[1]))
importlib.import_module("runtime.up" if sys.argv[1:2] == ["up"] else "runtime.cli").main()
