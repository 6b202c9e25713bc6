"""Stage kinds: the only property of a stage that code may branch on (a stage's name is the organization's own)."""

from enum import StrEnum


class StageKind(StrEnum):
    """What being in a stage says about a deal."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Outcome(StrEnum):
    """How a deal was closed."""

    WON = "won"
    LOST = "lost"
