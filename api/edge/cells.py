"""Text in cells of spreadsheets: what a program would take for a formula is marked as text, and read back as it was."""

import re

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
#: With which a cell begins that `guard` has to look at; no other one changes.
RISKY = frozenset((*_FORMULA_STARTS, "'"))
_AS_TEXT = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def guard(cell: str) -> str:
    """A cell that no spreadsheet program takes for a formula; reading it back gives the cell again."""
    is_risky = cell.startswith((*_FORMULA_STARTS, "'")) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_risky else cell


def unguard(cell: str) -> str:
    """A cell as it was before it was guarded, or before a program wrote it as ="007" so that its noughts stay."""
    if whole := _AS_TEXT.fullmatch(cell):
        return whole[1].replace('""', '"')
    return cell[1:] if cell[:1] == "'" and cell[1:2] in {*_FORMULA_STARTS, "'"} else cell
