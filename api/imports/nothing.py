"""Words that spreadsheets, report tools and databases write where there is no value, and where a formula failed."""

import polars as pl

from api.imports.presets import Column, ValueKind

#: No name of anything, whatever the column.
_ALWAYS = frozenset(
    (
        *("#n/a", "#n/d", "#nv", "#null!", "#н/д", "n/a", "n.a.", "not available"),
        *("null", "(null)", "<null>", "[null]", "\\n", "--", "---", "–", "—", "-"),
        *("(blank)", "(empty)", "(none)", "--none--", "(no value)", "no value", "(leer)", "(vide)"),
        *("[blank]", "[empty]", "[none]", "<na>", "<none>", "<empty>", "&nbsp;"),
        "000000000000000aaa",
    )
)
#: Names of something at times.
_USUALLY = frozenset(("na", "nan", "nil", "none", "undefined"))
_NOBODY = frozenset(
    (
        "unassigned",
        "(unassigned)",
        "not assigned",
        "no owner",
        "nobody",
        "(no owner)",
        "deactivated user",
        "(deactivated user)",
    )
)
#: What a spreadsheet shows where it could not compute: there was a value, and it is lost.
_BROKEN = r"^#(REF|VALUE|DIV/0|NAME|NUM|CALC|SPILL|GETTING_DATA|BEZUG|WERT|ЗНАЧ|ССЫЛКА|ДЕЛ/0|ИМЯ|ЧИСЛО)[!?]?$|^#{3,}$"


def says_nothing(cell: pl.Expr, column: Column) -> pl.Expr:
    """Whether a cell's word means that there is no value."""
    words = _ALWAYS | (_NOBODY if column.kind is ValueKind.USER else frozenset())
    if not column.is_title and column.kind is not ValueKind.COUNTRY:
        words |= _USUALLY
    return cell.str.to_lowercase().is_in(sorted(words))


def is_broken(cell: pl.Expr) -> pl.Expr:
    """Whether a formula failed in a cell."""
    return cell.str.to_uppercase().str.contains(_BROKEN)
