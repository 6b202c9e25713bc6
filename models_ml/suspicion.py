"""What must not be learned from, and why: columns that know the outcome, identifiers, protected traits, empty ones.

A statistic cannot tell a leak from a very good feature, so what is suspicious is named and left out, never silently
used: who knows better can allow a column by name.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.stats import binom

from models_ml.binning import codes_of, rates_beyond
from models_ml.columns import Column
from models_ml.measures import auc
from models_ml.outcome import OPEN, Outcome

#: A single column that is this good knows the outcome: numbers may be better than few values before they are suspected,
#: and few values than whether there is a value at all.
_KNOWS, _KNOWS_BY_VALUES, _KNOWS_BY_NAME, _KNOWS_BY_PRESENCE = 0.975, 0.89, 0.88, 0.85
_OTHERS_AT_MOST = 0.8
#: A column, or a model, that is this good may be honest, and is worth a question.
DOUBTFUL = 0.93
_FEW_VALUES = 30
#: Filled in for one outcome alone: in so many rows, for so much of that outcome, by chance so rarely.
_PURE, _PURE_ROWS, _PURE_SHARE, _VALUE_SHARE, _CHANCE = 0.995, 25, 0.03, 0.08, 1e-6
_PLAIN_OUTCOME = 0.8
_FILLED = 0.95
_AFTER_SHARE, _AFTER_ROWS = 0.01, 10
_UNIQUE, _MOSTLY_UNIQUE, _SOME = 0.98, 0.5, 20

_OUTCOME_WORDS = frozenset(
    """
    status stage state outcome result won lost win loss closed close converted conversion reason disposition
    resolution churn churned cancelled canceled paid payment invoice invoiced contract signed tag tags final duration
    decision label target probability score prediction forecast
    """.split()
)
_ENDING_WORDS = frozenset(
    """
    won lost win close closed closing converted conversion churn churned cancelled canceled paid signed
    """.split()
)
_ID_WORDS = frozenset(
    """
    id ids uuid guid key no nr number num index row rowid code ref reference serial hash sku email phone url
    website ssn
    """.split()
)
_PROTECTED = frozenset(
    """
    gender sex race ethnicity ethnic religion religious nationality disability disabled pregnant pregnancy
    orientation birthdate birthday dob birth marital
    """.split()
)
_OWNERS = frozenset(
    """
    owner rep agent seller salesperson salesrep assignee user manager sdr
    """.split()
)


@dataclass
class Suspicion:
    """Columns not to use by kind, each with a sentence that says why."""

    leaks: dict[str, str] = field(default_factory=dict)
    identifiers: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    sensitive: dict[str, str] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)

    def excluded(self) -> set[str]:
        """All names that no model may see."""
        return {*self.leaks, *self.identifiers, *self.unused, *self.sensitive}


def inspect(
    columns: list[Column], won: np.ndarray, *, time: Column | None, allowed: frozenset[str] = frozenset()
) -> Suspicion:
    """Judge the labelled rows' columns; `allowed` names those that somebody vouches for."""
    found = Suspicion()
    codes: dict[str, np.ndarray] = {}
    for column in columns:
        if reason := _says_nothing(column):
            found.unused[column.name] = reason
            continue
        codes[column.name] = codes_of(column)
        found.power[column.name] = _power(codes[column.name], won)
    judged = [column for column in columns if column.name in codes and column.name not in allowed]
    for column in judged:
        _judge(column, codes[column.name], won, time, found)
    for column in judged:  # beside what is left: leaks would make each other look ordinary
        if column.name not in found.excluded() and (reason := _stands_out(column, found)):
            found.leaks[column.name] = reason
    return found


def _judge(column: Column, codes: np.ndarray, won: np.ndarray, time: Column | None, found: Suspicion) -> None:
    name = column.name
    reason = (
        _is_from_the_future(column, time)
        or _is_one_sided(column, codes, won)
        or _is_there_for_one(column, won)
        or _knows_too_much(column, found.power)
    )
    if is_identifier(column):
        found.identifiers[name] = (
            f"{name} tells rows apart ({column.values.n_unique():,} different values) and says nothing about new ones"
        )
        if reason:
            found.leaks[name] = reason
    elif reason:
        found.leaks[name] = reason
    elif column.kind == "text":
        found.unused[name] = f"{name} is free text"
    elif column.kind == "instant" and (time is None or time.kind != "instant"):
        found.unused[name] = f"{name} is a date, and without the time of each row it cannot be told how old it was"
    elif reason := sensitive(name):
        found.sensitive[name] = reason


def known_only_when_closed(columns: list[Column], outcome: Outcome, allowed: set[str]) -> dict[str, str]:
    """Columns that are filled in for closed rows and empty for open ones: whatever they say was not known before."""
    closed = outcome.labels != OPEN
    if (~closed).sum() < _PURE_ROWS:
        return {}
    found = {}
    for column in columns:
        filled = column.values.is_not_null().to_numpy()
        if column.name not in allowed and filled[closed].mean() >= _FILLED and filled[~closed].mean() < 1 - _FILLED:
            found[column.name] = (
                f"{column.name} is filled in for closed rows and empty for open ones: it comes with the outcome"
            )
    return found


def sensitive(name: str) -> str | None:
    """Why a column of this name is no feature by default: a protected trait, or a person of ours."""
    words = _words(name)
    if words & _PROTECTED or words == {"age"} or words == {"age", "group"}:
        return f"{name} is a protected trait"
    if words & _OWNERS and not words & {"count", "number", "load"}:
        return f"{name} names one of your people: scores would judge the owner, not the lead"
    return None


def is_identifier(column: Column) -> bool:
    """A value of its own for (nearly) every row that is no measurement: a key, a running number, a code."""
    known = column.values.drop_nulls()
    if len(known) < _SOME or column.kind == "instant":
        return False
    share = known.n_unique() / len(known)
    named = bool(_words(column.name) & _ID_WORDS) or bool(re.search(r"[a-z]ID$|^column \d+$|^Unnamed", column.name))
    if column.kind == "number":
        whole = bool((known == known.floor()).all())
        return whole and ((named and share > _MOSTLY_UNIQUE) or _is_given_out(known))
    if column.kind == "text":
        return False
    return share >= _UNIQUE or (named and share > _MOSTLY_UNIQUE)


def _is_given_out(known: pl.Series) -> bool:
    """Whole numbers that hardly repeat though chance would repeat many: somebody numbered the rows."""
    width = float(np.ptp(known.to_numpy())) + 1
    by_chance = len(known) ** 2 / 2 / width
    return by_chance > _SOME and len(known) - known.n_unique() < (1 - _UNIQUE) * min(by_chance, len(known))


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))


def _says_nothing(column: Column) -> str | None:
    if column.values.null_count() == len(column.values):
        return f"{column.name} is empty"
    if column.values.n_unique() == 1:
        return f"{column.name} is the same in every row"
    return None


def _power(codes: np.ndarray, won: np.ndarray) -> float:
    """AUC of this column alone, on rows that it was not learned from."""
    return auc(won, rates_beyond(codes, won)).value


def _is_from_the_future(column: Column, time: Column | None) -> str | None:
    if column.kind != "instant":
        return None
    if _words(column.name) & _ENDING_WORDS:
        return f"{column.name} is, by its name, when the outcome came"
    if time is None or time.kind != "instant":
        return None
    after = int((column.values > time.values).sum())
    known = len(column.values) - column.values.null_count()
    if after >= max(_AFTER_ROWS, _AFTER_SHARE * known):
        return f"{column.name} lies after {time.name} in {after:,} of {known:,} rows: it was not known yet"
    return None


def _is_one_sided(column: Column, codes: np.ndarray, won: np.ndarray) -> str | None:
    """Filled in (or other than usual), or of one value, for one outcome alone."""
    name, rate = column.name, float(won.mean())
    missing = codes == 0
    if missing.any() and (side := _side(won[~missing], won, rate)):
        return f"{name} is filled in for {side} alone: it is known only once the outcome is"
    if missing.any() and (side := _side(won[missing], won, rate)) and missing.mean() < _PURE:
        return f"{name} is left empty for {side} alone: it is known only once the outcome is"
    usual = np.bincount(codes).argmax()
    if column.kind == "number" and usual and (side := _side(won[codes != usual], won, rate)):
        return f"{name} differs from its usual value for {side} alone: it is known only once the outcome is"
    return _has_telling_value(column, codes, won, rate)


def _is_there_for_one(column: Column, won: np.ndarray) -> str | None:
    """Filled in for most of one outcome and hardly any of the other."""
    there = column.values.is_not_null().to_numpy()
    if won.all() or not won.any():
        return None
    shares = [float(there[won == side].mean()) for side in (1, 0)]
    if len(won) < _PURE_ROWS or 0.5 + abs(shares[0] - shares[1]) / 2 < _KNOWS_BY_PRESENCE:
        return None
    return (
        f"{column.name} is filled in for {shares[0]:.0%} of the won rows and {shares[1]:.0%} of the lost ones: "
        "it comes with the outcome"
    )


def _has_telling_value(column: Column, codes: np.ndarray, won: np.ndarray, rate: float) -> str | None:
    if column.kind != "category" or codes.max() > _FEW_VALUES:
        return None
    named = bool(_words(column.name) & _OUTCOME_WORDS)
    for code in np.unique(codes[codes > 0]):
        side = _side(won[codes == code], won, rate, share_of_outcome=_VALUE_SHARE)
        common = max(rate, 1 - rate) > _PLAIN_OUTCOME and (side == "won rows") == (rate > 1 / 2)
        if side and (named or not common):
            value = column.values.filter(pl.Series(codes == code))[0]
            return f"{column.name} = {value!r} occurs for {side} alone: it reads like a status given after the outcome"
    return None


def _side(part: np.ndarray, won: np.ndarray, rate: float, *, share_of_outcome: float = _PURE_SHARE) -> str | None:
    """Which outcome has these rows to itself, beyond chance."""
    if len(part) < _PURE_ROWS:
        return None
    for label, share, word in ((1, rate, "won rows"), (0, 1 - rate, "lost rows")):
        own = int((part == label).sum())
        enough = own >= _PURE * len(part) and own >= share_of_outcome * (won == label).sum()
        if enough and binom.sf(own - 1, len(part), share) < _CHANCE:
            return word
    return None


def _knows_too_much(column: Column, power: dict[str, float]) -> str | None:
    alone = power[column.name]
    named = bool(_words(column.name) & _OUTCOME_WORDS)
    return _too_good(column.name, alone) if alone >= (_KNOWS_BY_NAME if named else _KNOWS) else None


def _stands_out(column: Column, found: Suspicion) -> str | None:
    """Few values that are far better than all that is left beside them: an echo of the outcome with some noise."""
    alone, excluded = found.power[column.name], found.excluded()
    others = max(
        (value for name, value in found.power.items() if name != column.name and name not in excluded), default=0.5
    )
    few = column.kind == "category" or column.values.n_unique() <= _FEW_VALUES
    return _too_good(column.name, alone) if few and alone >= _KNOWS_BY_VALUES and others <= _OTHERS_AT_MOST else None


def _too_good(name: str, alone: float) -> str:
    return f"{name} alone tells won from lost (AUC {alone:.3f}): it says the outcome, or was written after it"
