"""What the first pass over a file learns of its columns as a whole, and tells whoever looks at a preview."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from api.imports.amounts import group_counts, judge_mark, mark_evidence
from api.imports.evidence import Evidence, Verdict
from api.imports.moments import judge_order, order_evidence
from api.imports.nothing import says_nothing
from api.imports.options import ImportOptions
from api.imports.presets import Column, ValueKind
from api.imports.values import clean, trimmed

_DATED = (ValueKind.INSTANT, ValueKind.DUE, ValueKind.DAY)
_NAMED = 5


@dataclass
class ColumnNotes:
    """Evidence of a file's columns, gathered chunk by chunk."""

    columns: Mapping[str, Column]
    row: str
    _evidence: dict[str, Evidence] = field(default_factory=dict)
    _groups: Counter[str] = field(default_factory=Counter)
    _nothing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def look(self, text: pl.DataFrame) -> None:
        """Take in a chunk of cells."""
        row = pl.col(self.row)
        cleaned = text.with_columns(clean(column) for column in self.columns.values())
        for name, column in self.columns.items():
            if column.kind in _DATED:
                self._add(name, cleaned.select(**order_evidence(pl.col(name), row)))
            elif column.kind is ValueKind.AMOUNT:
                self._add(name, cleaned.select(**mark_evidence(pl.col(name), row)))
                self._groups.update(cleaned.select(**group_counts(pl.col(name))).row(0, named=True))
            cells = text.select(trimmed(column)).filter(says_nothing(pl.col(name), column))
            for word, count in cells.group_by(name, maintain_order=True).len().iter_rows():
                self._nothing[name, word] += count

    def verdicts(self, options: ImportOptions) -> dict[str, Verdict]:
        """How each column is written. Of dates, a column that proves nothing goes by one of the same file that does."""
        found = {name: self._verdict(name, options) for name in self._evidence}
        dated = {name: one for name, one in found.items() if self.columns[name].kind in _DATED}
        proofs = {one.choice for name, one in dated.items() if one.choice is not None}
        for name, one in dated.items():
            if (
                one.choice is None
                and not one.is_mixed
                and len(proofs) == 1
                and self._evidence[name].unclear is not None
            ):
                like = next(other for other, verdict in dated.items() if verdict.choice is not None)
                order = "day/month/year" if proofs == {True} else "month/day/year"
                note = f"read as {order}, as column {like} of the file is written (day_first says otherwise)"
                found[name] = replace(one, choice=next(iter(proofs)), note=note)
        return found

    def words(self) -> list[str]:
        """Which words were read as no value, and where."""
        by_column: dict[str, list[str]] = {}
        for (name, word), count in self._nothing.items():
            by_column.setdefault(name, []).append(f"{word!r} ({count})")
        return [f"{name}: read as empty: {', '.join(words[:_NAMED])}" for name, words in by_column.items()]

    def _add(self, name: str, found: pl.DataFrame) -> None:
        before = self._evidence.get(name, Evidence())
        self._evidence[name] = before.with_more(**found.row(0, named=True))

    def _verdict(self, name: str, options: ImportOptions) -> Verdict:
        if self.columns[name].kind is ValueKind.AMOUNT:
            return judge_mark(self._evidence[name], options.decimal_comma, **self._groups)
        return judge_order(self._evidence[name], options.day_first)
