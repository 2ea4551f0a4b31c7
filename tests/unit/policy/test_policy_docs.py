"""The documentation of the policy and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from spanward.processor.policy.options import Quality
from spanward.processor.policy.privacy.entities import DEFAULT_ACTIONS, Entity
from spanward.processor.policy.quality.ruleset import CLAIMS, RuleSet

DOCUMENT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[a-z0-9_`, ]+`) \| .* \| (\w+) \|$", re.MULTILINE)


def test_the_table_of_types_has_every_type_with_its_action() -> None:
    """docs/policy.md against the built-in actions."""
    documented = {name: action for names, action in ROW.findall(DOCUMENT) for name in re.findall(r"`(\w+)`", names)}

    assert documented == {entity.value: DEFAULT_ACTIONS[entity].value for entity in Entity}


def test_the_table_of_rules_has_every_rule() -> None:
    """docs/policy.md against the built-in rules."""
    section = DOCUMENT.split("## Quality")[1].split("All are warnings")[0]
    rules = {name for name, _ in RuleSet.of(Quality(plugins=False)).rules}

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == rules | {CLAIMS}
