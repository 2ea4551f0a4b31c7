"""The policy in the form that the compiled kernel takes: resolved, as JSON.

What the kernel cannot do exactly as the Python twin does makes the whole policy the twin's: rules from plug-ins, and
regular expressions whose meaning may differ between engines.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from importlib.metadata import entry_points
from typing import Any, Final

from spanward.processor.policy.config import Policy
from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.options import AnomalyRule, FormatRule, LabelRule, RangeRule, SimpleRule
from spanward.processor.policy.privacy.entities import Entity
from spanward.processor.policy.privacy.key_rules import BUILT_IN
from spanward.processor.policy.privacy.plan import Actions, PrivacyPlan
from spanward.processor.policy.quality.rule import WEIGHTS, Severity
from spanward.processor.policy.quality.ruleset import CLAIMS, GROUP

PERMANENT: Final = 0
"""A term without an end; others are days, of which there is at least one."""

_PORTABLE: Final = re.compile(
    r"""(?:[\w /:;,<>=@!~%'"`#-]        # literals
    |[.^$*+?)|]|\((?!\?)|\(\?:       # operators, and groups without flags, looks and names
    |\\[.\-_+*?()\[\]{}|^$/\\dwsb]    # escapes
    |\{\d+(?:,\d*)?\}               # counts
    |\[\^?(?:[\w\ .:;,/+*@-]|\\[.\-_\[\]\\/dws])+\]  # sets without operators
    )*""",
    re.VERBOSE | re.ASCII,
)
"""What means the same in both engines. Anything else may too, but nobody has shown it."""

_WILDCARDS: Final = {"*": ".*", "?": "."}
_NEVER: Final = r"[^\s\S]"


class UnsupportedError(ValueError):
    """The kernel cannot do what the policy asks for; the text says what."""


def compile_plan(policy: Policy, limits: Mapping[str, int], columns: Mapping[str, Any] | None = None) -> str:
    """The plan for a class of `spanward.native`.

    Args:
        policy: what holds.
        limits: bounds on one request, under the names of `spanward.processor.governance.limits.Limits`.
        columns: the table's columns, for the kernel that makes rows.

    Raises:
        UnsupportedError: only the Python twin can do what the policy asks for.
    """
    if policy.quality.plugins and (plugged_in := [entry.name for entry in entry_points(group=GROUP)]):
        raise UnsupportedError(f"the quality rule {plugged_in[0]!r} is a plug-in in Python")
    plan: dict[str, Any] = {
        "privacy": _privacy(policy),
        "labels": {
            "classification": policy.defaults.classification.rank,
            "retention": _term(policy.defaults.retention),
            "rules": [_label_rule(rule) for rule in policy.labels],
        },
        "quality": _quality(policy),
        "limits": limits,
    }
    if columns is not None:
        plan["columns"] = columns
    return json.dumps(plan)


def _privacy(policy: Policy) -> Mapping[str, Any]:
    options, resolved = policy.privacy, PrivacyPlan(policy.privacy, policy.limits)
    networks = [ipaddress.ip_network(network) for network in options.allow.networks]
    by_version = {
        version: [(str(n.network_address), n.prefixlen) for n in networks if n.version == version] for version in (4, 6)
    }
    own = [(rule.pattern, rule.unless, rule.entity, rule.action) for rule in options.key_rules]
    built_in = [(*rule, None) for rule in BUILT_IN] if options.default_key_rules else []
    return {
        "enabled": options.enabled,
        "actions": [_actions(resolved.actions[label]) for label in Classification],
        "shared_actions": _actions(resolved.shared_actions),
        "key_rules": [
            {"pattern": _regex(pattern), "unless": _regex(unless), "entity": entity, "action": action}
            for pattern, unless, entity, action in [*own, *built_in]
        ],
        "expected": [
            (glob_regex(glob.lower()), list(entry.entities)) for entry in options.allow.keys for glob in entry.keys
        ],
        "person_keys": list(options.person_keys),
        "allowed_values": [value.strip().lower() for value in options.allow.values],
        "networks_v4": by_version[4],
        "networks_v6": by_version[6],
        "max_text_length": policy.limits.max_text_length,
        "max_depth": policy.limits.max_depth,
    }


def _actions(actions: Actions) -> Sequence[str]:
    return [actions[entity].value for entity in Entity]


def _label_rule(rule: LabelRule) -> Mapping[str, Any]:
    match = rule.match
    attribute = None
    if match.attribute is not None:
        key, has_value, value = match.attribute.partition("=")
        attribute = (glob_regex(key.strip()), glob_regex(value.strip() if has_value else "*"))
    return {
        "service": _glob(match.service),
        "operation": _glob(match.operation),
        "event_type": _glob(match.event_type),
        "attribute": attribute,
        "classification": None if rule.classification is None else rule.classification.rank,
        "retention": None if rule.retention is None else _term(rule.retention),
        "drop": rule.drop,
    }


def _quality(policy: Policy) -> Mapping[str, Any]:
    options = policy.quality
    form, anomaly = options.event_type_format, options.anomaly
    rules: dict[str, RangeRule | FormatRule | AnomalyRule | SimpleRule] = {
        "processing_time": options.processing_time,
        "memory": options.memory,
        "quality": options.quality,
        "event_type_format": form,
        "time_order": options.time_order,
        "anomaly": anomaly,
        CLAIMS: options.claims,
    }
    return {
        "processing_time": _range(options.processing_time),
        "memory": _range(options.memory),
        "quality": _range(options.quality),
        "event_type_format": f"^(?:{_regex(form.pattern.removeprefix('^').removesuffix('$'))})$"
        if form.enabled
        else None,
        "time_order": options.time_order.enabled,
        "anomaly": anomaly.model_dump(exclude={"enabled", "severity"}) if anomaly.enabled else None,
        "claims": options.claims.enabled,
        "weights": [(name, WEIGHTS[rule.severity]) for name, rule in rules.items() if rule.enabled],
        "other_weight": WEIGHTS[Severity.WARNING],
    }


def _range(rule: RangeRule) -> Mapping[str, float] | None:
    return {"low": rule.low, "high": rule.high} if rule.enabled else None


def _term(retention: Retention) -> int:
    return PERMANENT if retention.days is None else retention.days


def _glob(pattern: str | None) -> str | None:
    return None if pattern is None else glob_regex(pattern)


def glob_regex(pattern: str) -> str:
    """A glob as a regular expression without what only Python's engine has."""
    parts: list[str] = []
    for piece in re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if len(piece) == 1:
            parts.append(_WILDCARDS.get(piece) or re.escape(piece))
        else:  # what a set means, Python says; it comes wrapped as (?s:…)\Z
            of_set = translate(piece).removeprefix("(?s:").removesuffix(r")\Z")
            parts.append(_NEVER if of_set == "(?!)" else of_set)
    return f"(?s)^(?:{''.join(parts)})$"


def _regex(pattern: str) -> str:
    """A regular expression that means the same in both engines.

    Raises:
        UnsupportedError: it may not.
    """
    if _PORTABLE.fullmatch(pattern) is None or any(word in pattern for word in ("&&", "--", "~~", "[[")):
        raise UnsupportedError(f"the regular expression {pattern!r} may mean something else outside of Python")
    return pattern
