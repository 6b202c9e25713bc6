"""What two processes must agree on: events, topics, stage kinds, warehouse names, settings.

Pure declarations on pydantic and the standard library. No I/O, no rule of the business, nothing of ours imported.
"""

import zoneinfo

# One time-zone database for all processes and both warehouses: the one of package tzdata, whatever the machine has.
zoneinfo.reset_tzpath(to=())
