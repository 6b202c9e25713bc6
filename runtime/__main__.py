"""`python -m runtime`: what `./sluice` runs."""

from runtime.cli import main

main()
