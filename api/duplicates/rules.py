"""When two people look like the same one. No I/O.

Candidates are records that share a block: the beginning of one of their names, in any order. So the work grows with the
records, not with their pairs; a block that is too large to tell anything is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rapidfuzz import fuzz, utils

#: Beginnings of names that block; records of one block that are compared at most.
_BEGINNING, _LARGEST_BLOCK = 3, 60
#: From which likeness on two are suggested, from 0 to 1.
SUGGESTED = 0.7
#: A name alone, without anything beside it that agrees, has to be this much alike.
_NAME_ALONE = 0.95


@dataclass(frozen=True)
class Candidate:
    """What is compared of a record: its name, and what else tells people apart (an address, an e-mail, a domain)."""

    id: Any
    name: str
    beside: str = ""


@dataclass(frozen=True)
class Pair:
    """Two records that look alike, and how much."""

    left: Any
    right: Any
    score: float


def blocks(candidates: Iterable[Candidate]) -> Mapping[str, Sequence[Candidate]]:
    """Candidates by the beginnings of their names and of what stands beside."""
    found: dict[str, list[Candidate]] = defaultdict(list)
    for one in candidates:
        words = normal(one.name).split()
        keys = {word[:_BEGINNING] + word[-1:] for word in words} | {word[:1] + word[-_BEGINNING:] for word in words}
        beside = normal(one.beside).replace(" ", "")
        for key in {*keys, *({f"={beside[:8]}"} if beside else ())}:
            found[key].append(one)
    return {key: block for key, block in found.items() if 1 < len(block) <= _LARGEST_BLOCK}


def normal(text: str) -> str:
    """A text without case, marks and double blanks."""
    return str(utils.default_process(text))


def alike(candidates: Sequence[Candidate]) -> list[Pair]:
    """Pairs that look alike, the most alike first."""
    seen: dict[tuple[Any, Any], Pair] = {}
    for left, right in _pairs(candidates):
        if (left.id, right.id) not in seen:
            score = likeness(left, right)
            if score >= SUGGESTED:
                seen[left.id, right.id] = Pair(left.id, right.id, score)
    return sorted(seen.values(), key=lambda pair: (-pair.score, str(pair.left), str(pair.right)))


def _pairs(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    place = {one.id: number for number, one in enumerate(candidates)}
    for block in blocks(candidates).values():
        for left, right in combinations(block, 2):
            if left.id != right.id:
                yield (left, right) if place[left.id] < place[right.id] else (right, left)


def likeness(left: Candidate, right: Candidate) -> float:
    """How much two are alike, from 0 to 1: their names in any order, and what stands beside them."""
    names = fuzz.token_sort_ratio(left.name, right.name, processor=utils.default_process) / 100
    if not left.beside or not right.beside:
        return names if names >= _NAME_ALONE else 0.0
    beside = fuzz.token_sort_ratio(left.beside, right.beside, processor=utils.default_process) / 100
    return float(round(0.55 * names + 0.45 * beside, 3))
