"""The command line `sluice`: starts processes and embedded services, fills the demo, runs tests and benchmarks.

Nothing here knows a rule of the business; it only starts, watches and stops the other rooms.
"""
