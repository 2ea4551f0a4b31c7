"""Policy files: what they may say, and what is said of mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanward.processor.policy.config import Policy
from spanward.processor.policy.labels import YEAR, Classification
from spanward.processor.policy.privacy.entities import Action, Entity
from spanward.processor.policy.privacy.plan import PrivacyPlan
from spanward.store.errors import ConfigurationError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("privaci: {}", ["privaci: unknown option", "defaults, labels, limits, privacy, quality"]),
        ("privacy: {action: {}}", ["privacy.action: unknown option", "actions", "key_rules"]),
        ("privacy: {actions: {emial: mask}}", ["privacy.actions.emial", "'emial'", "us_ssn"]),
        ("privacy: {actions: {email: shred}}", ["privacy.actions.email", "'shred'", "'drop'"]),
        ("privacy: {classes: {secret: {email: drop}}}", ["privacy.classes.secret", "'secret'"]),
        ("privacy: {key_rules: [{pattern: '('}]}", ["privacy.key_rules.0.pattern", "not a regular expression"]),
        (
            "privacy: {key_rules: [{pattern: a, unless: '['}]}",
            ["privacy.key_rules.0.unless", "not a regular expression"],
        ),
        ("privacy: {key_rules: [{patern: a}]}", ["privacy.key_rules.0.patern: unknown option", "pattern"]),
        ("privacy: {allow: {networks: [300.0.0.0/8]}}", ["privacy.allow.networks", "300.0.0.0/8"]),
        ("privacy: {allow: {keys: [{keys: [a]}]}}", ["privacy.allow.keys.0.entities", "required"]),
        ("defaults: {classification: secret}", ["defaults.classification", "secret", "confidential"]),
        ("defaults: {retention: 3 weeks}", ["defaults.retention", "3 weeks"]),
        ("defaults: {retention: 0}", ["defaults.retention", "0 days"]),
        ("defaults: {retention: true}", ["defaults.retention"]),
        ("labels: [{match: {}, drop: true}]", ["labels.0.match", "at least one"]),
        ("labels: [{match: {attribute: =x}}]", ["labels.0.match.attribute", "key=value"]),
        ("labels: {}", ["labels", "tuple"]),
        ("quality: {memory: {low: 5, high: 1}}", ["quality.memory", "above"]),
        ("quality: {anomaly: {warm_up: 0}}", ["quality.anomaly.warm_up", "2"]),
        ("quality: {memory: {low: 0, high: 1, severity: fatal}}", ["quality.memory.severity", "warning"]),
        ("limits: {max_depth: many}", ["limits.max_depth", "'many'"]),
        ("a: b: c", ["mend the syntax"]),
        ("- 1", ["the document"]),
        (
            "privacy: {enabled: maybe, a: 1, b: 2, c: 3}",
            ["(and 1 more)"],
        ),
    ],
)
def test_mistakes_are_named_with_file_option_and_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    """Every kind of mistake in a YAML file: one line with the file, the path of the option and what would be right."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        Policy.load(path)

    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("policy.json", b"{}", ".yaml, .yml or .toml"),
        ("policy.toml", b"a = ", "mend the syntax"),
        ("policy.yml", b"\xff\xfe", "UTF-8"),
        ("policy.toml", None, "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """A wrong ending, broken TOML, broken UTF-8, no file: a line that says so."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=words):
        Policy.load(path)


def test_an_empty_file_is_the_default_policy(tmp_path: Path) -> None:
    """Nothing but a comment: the defaults."""
    path = tmp_path / "policy.yml"
    path.write_text("# nothing yet\n")

    assert Policy.load(path) == Policy.default()


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    """One policy in both languages: equal, and as written."""
    (tmp_path / "p.yaml").write_text(
        "defaults: {retention: 365}\nprivacy: {actions: {email: mask}, classes: {Public: {ipv4: tag}}}\n",
    )
    (tmp_path / "p.toml").write_text(
        '[defaults]\nretention = "365d"\n[privacy.actions]\nemail = "mask"\n[privacy.classes.public]\nipv4 = "tag"\n',
    )
    policy = Policy.load(str(tmp_path / "p.yaml"))

    assert policy == Policy.load(tmp_path / "p.toml")
    assert policy.defaults.retention == YEAR
    assert policy.privacy.actions == {Entity.EMAIL: Action.MASK}
    plan = PrivacyPlan(policy.privacy, policy.limits)
    assert plan.actions[Classification.PUBLIC][Entity.IPV4] is Action.TAG
    assert plan.actions[Classification.INTERNAL][Entity.IPV4] is Action.HASH


def test_a_policy_survives_its_own_dump() -> None:
    """The example file, dumped as JSON and read back: equal."""
    policy = Policy.load(ROOT / "examples" / "policy.yaml")

    assert Policy.model_validate_json(policy.model_dump_json()) == policy
    assert policy.labels


def test_every_option_is_explained() -> None:
    """The JSON schema of the policy: every option of every group has a description."""
    schema = Policy.model_json_schema()
    groups = [schema, *(group for group in schema["$defs"].values() if "properties" in group)]
    silent = [
        f"{group.get('title')}.{name}"
        for group in groups
        for name, option in group["properties"].items()
        if not option.get("description")
    ]

    assert silent == []
