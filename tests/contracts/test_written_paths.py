"""Pages and commands ask the API by `contracts/calls`. Older ones write paths by hand: these many, and never more."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WRITTEN = re.compile(r"""[\"']/v1/""")
#: What is left, by file. Whoever turns a path into a call lowers the number.
_LEFT = {
    "dashboards/creating.py": 3,
    "dashboards/files.py": 3,
    "dashboards/goals.py": 3,
    "dashboards/record.py": 5,
    "dashboards/rule_form.py": 3,
    "dashboards/views/accounts.py": 1,
    "dashboards/views/companies.py": 2,
    "dashboards/views/contacts.py": 2,
    "dashboards/views/custom_fields.py": 3,
    "dashboards/views/deals.py": 6,
    "dashboards/views/exchange_rates.py": 1,
    "dashboards/views/exports.py": 1,
    "dashboards/views/organization.py": 2,
    "dashboards/views/plan.py": 6,
    "dashboards/views/recycle_bin.py": 2,
    "dashboards/views/rules.py": 7,
    "dashboards/views/scores.py": 2,
    "runtime/exposures.py": 1,
    "runtime/score_command.py": 2,
}


def test_no_path_is_written_by_hand_that_was_not_so_before() -> None:
    found = {
        str(path.relative_to(_ROOT)): count
        for room in ("dashboards", "runtime")
        for path in (_ROOT / room).rglob("*.py")
        if (count := len(_WRITTEN.findall(path.read_text(encoding="utf-8"))))
    }
    more = {name: count for name, count in found.items() if count > _LEFT.get(name, 0)}
    assert not more, "ask by `contracts.calls` instead"
    fewer = {name: count for name, count in _LEFT.items() if found.get(name, 0) < count}
    assert not fewer, "fewer are left: lower the numbers here"
