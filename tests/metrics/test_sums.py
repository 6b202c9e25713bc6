"""Any figure of any metric, asked at random, is what the facts behind it add up to: of marts that dbt built."""

from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import pytest

from metrics import query, rows
from metrics.parameters import read
from metrics.registry import Definition, definitions
from tests.event_history import EventLog
from tests.metrics import random_questions, stories
from tests.metrics.conftest import Asker
from tests.random_history import random_history

_EVENTS = stories.also(random_history(16, deals=20))
_MOST_CELLS, _PAGE = 12, 7


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_every_figure_of_every_metric_is_what_its_rows_add_up_to(
    ask_built: Callable[[EventLog], Asker], rounds: int
) -> None:
    random, checked = Random(20), dict.fromkeys(definitions(), 0)
    for _ in range(rounds):
        organization_id = random.choice(sorted({event.organization_id for event in _EVENTS}))
        own = [event for event in _EVENTS if event.organization_id == organization_id]
        known, asker = random_questions.known_of(own), ask_built(EventLog(organization_id))
        for name, definition in definitions().items():
            checked[name] += _check(asker, definition, random_questions.question(definition, random, known))
    seen = {name for name, cells in checked.items() if cells}
    assert len(seen) > (15 if rounds == 2 else 35), seen


def _check(asker: Asker, definition: Definition, asked: dict[str, str]) -> int:
    """How many figures with facts behind them agreed."""
    parameters, viewer = read(definition, asked), asker.viewer()
    answer = query.answer(asker.reader, definition, parameters, viewer=viewer, now=asker.now)
    found = list(islice(random_questions.shown(definition, asked, answer.rows), _MOST_CELLS))
    for cell, figure, is_amount in found:
        items, after = list[Any](), None
        while after is not None or not items:
            page = rows.rows(
                asker.reader, definition, parameters, cell, viewer=viewer, now=asker.now, limit=_PAGE, after=after
            )
            items += page.items
            after = page.last_id if page.has_more else None
        assert figure == (page.amount_minor if is_amount else page.count), (definition.name, asked, cell)
        assert page.count == len(items), (definition.name, asked, cell)
    return len(found)
