"""Pages and commands ask the API by `contracts/calls`. Older ones write paths by hand: these many, and never more."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WRITTEN = re.compile(r"""[\"']/v1/""")
#: What is left, by file. Whoever turns a path into a call lowers the number.
_LEFT = {
    "dashboards/bulk.py": 6,
    "dashboards/campaign_building.py": 3,
    "dashboards/campaign_progress.py": 1,
    "dashboards/client.py": 13,
    "dashboards/creating.py": 3,
    "dashboards/drafting.py": 4,
    "dashboards/files.py": 3,
    "dashboards/finding.py": 1,
    "dashboards/goals.py": 3,
    "dashboards/lines.py": 4,
    "dashboards/record.py": 5,
    "dashboards/rule_form.py": 3,
    "dashboards/score_card.py": 1,
    "dashboards/single_sign_on.py": 2,
    "dashboards/suppressions.py": 3,
    "dashboards/transport.py": 3,
    "dashboards/views/account.py": 8,
    "dashboards/views/accounts.py": 7,
    "dashboards/views/alarms.py": 3,
    "dashboards/views/campaigns.py": 8,
    "dashboards/views/companies.py": 2,
    "dashboards/views/contacts.py": 2,
    "dashboards/views/custom_fields.py": 3,
    "dashboards/views/deals.py": 6,
    "dashboards/views/distribution.py": 5,
    "dashboards/views/drafts.py": 4,
    "dashboards/views/duplicates.py": 7,
    "dashboards/views/exchange_rates.py": 1,
    "dashboards/views/exports.py": 1,
    "dashboards/views/imports.py": 7,
    "dashboards/views/inbox.py": 12,
    "dashboards/views/mailed_link.py": 5,
    "dashboards/views/my_day.py": 7,
    "dashboards/views/organization.py": 2,
    "dashboards/views/people.py": 12,
    "dashboards/views/plan.py": 6,
    "dashboards/views/products.py": 3,
    "dashboards/views/recycle_bin.py": 2,
    "dashboards/views/rentals.py": 5,
    "dashboards/views/rules.py": 7,
    "dashboards/views/scores.py": 2,
    "dashboards/views/sign_in.py": 1,
    "dashboards/views/today.py": 1,
    "dashboards/views/webhooks.py": 5,
    "dashboards/why.py": 3,
    "dashboards/writing.py": 1,
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
