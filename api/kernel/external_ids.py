"""Ids of records in other systems. A record without one is told of by ours, in exports and when they are read back."""

import re
from collections.abc import Iterable
from uuid import UUID

_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def own_ids(external_ids: Iterable[str | None]) -> list[UUID]:
    """Those of these ids that may be ours."""
    return [UUID(one) for one in external_ids if one is not None and _OURS.fullmatch(one)]
