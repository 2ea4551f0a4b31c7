"""Quality rules, the anomaly baseline, plug-ins and the score."""

from __future__ import annotations

import logging
import math
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from spanward.processor.policy.options import Quality
from spanward.processor.policy.quality import ruleset
from spanward.processor.policy.quality.anomaly import Anomaly, Baseline
from spanward.processor.policy.quality.rule import Rule, Scale, Severity
from spanward.processor.policy.quality.ruleset import RuleSet
from spanward.processor.policy.span import Attributes, AttributeValue, ResourceRecord, ScopeRecord, SpanRecord
from spanward.store.errors import ConfigurationError

MS = 1_000_000


def span_of(
    attributes: Attributes | None = None, *, ms: float = 5, name: str = "op", service: object = "shop"
) -> SpanRecord:
    resource = ResourceRecord({"service.name": service})  # type: ignore[dict-item] # also names that are no text
    end = MS + int(ms * MS)
    return SpanRecord("a" * 32, "b" * 16, name, MS, end, resource, ScopeRecord(), attributes=attributes or {})


def broken(span: SpanRecord, **options: Any) -> list[str]:
    return RuleSet.of(Quality.model_validate({"plugins": False, **options})).violations(span)


@pytest.mark.parametrize(
    ("key", "rule", "good", "bad"),
    [
        (
            "spanward.processing_time_ms",
            "processing_time",
            [0, 10_000, 0.5],
            [-1, 10_000.1, "5", True, math.nan, math.inf, 10**400, [1]],
        ),
        ("spanward.memory_mb", "memory", [0, 16_384], [-0.1, 16_385, "much", False]),
        ("spanward.quality.score", "quality", [0, 1, 0.5], [1.01, -1, "good", math.nan]),
        (
            "spanward.event.type",
            "event_type_format",
            ["llm.call", "a", "a" * 128],
            ["LLM", "", "1a", "a b", "a" * 129, 5],
        ),
    ],
)
def test_values_out_of_bounds_break_their_rule(
    key: str,
    rule: str,
    good: list[AttributeValue],
    bad: list[AttributeValue],
) -> None:
    """Values at the bounds, beyond them, and such as are no number or no text at all."""
    assert all(broken(span_of({key: value})) == [] for value in good)
    assert [value for value in bad if broken(span_of({key: value})) != [rule]] == []


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (span_of(ms=10_000), []),
        (span_of(ms=10_001), ["processing_time"]),
        (span_of({"spanward.processing_time_ms": 3}, ms=10_001), []),
        (SpanRecord("a", "b", "op", 5, 0, ResourceRecord(), ScopeRecord()), []),
        (SpanRecord("a", "b", "op", 5, 4, ResourceRecord(), ScopeRecord()), ["time_order"]),
    ],
)
def test_durations_stand_in_for_processing_time(span: SpanRecord, expected: list[str]) -> None:
    """Short, long, measured otherwise, unfinished and backward spans."""
    assert broken(span) == expected


def test_rules_can_be_turned_off_and_set() -> None:
    """A narrower range, a rule off, another pattern: the options are what holds."""
    span = span_of({"spanward.memory_mb": 50, "spanward.quality.score": 9, "spanward.event.type": "LLM"})

    assert broken(
        span,
        memory={"low": 0, "high": 10},
        quality={"low": 0, "high": 1, "enabled": False},
        event_type_format={"pattern": "[A-Z]+"},
    ) == ["memory"]


def test_anomalies_are_told_after_warm_up_per_operation() -> None:
    """Thirty usual spans of one operation, then an unusual one of it and of others: only the first is told."""
    rule = Anomaly(warm_up=30)
    usual = [rule.broken_by(span_of(ms=100 + n % 5)) for n in range(30)]

    assert not any(usual)
    assert not rule.broken_by(span_of(ms=5000, name="other"))
    assert not rule.broken_by(span_of(ms=5000, service="other"))
    assert rule.broken_by(span_of(ms=5000))
    assert not rule.broken_by(span_of(ms=101))


@pytest.mark.parametrize("key", ["spanward.memory_mb", "spanward.cpu_percent", "spanward.quality.score"])
def test_every_measure_has_its_baseline(key: str) -> None:
    """Steady memory, CPU and quality with one jump each: the jump is told; what is no number joins nothing."""
    rule = Anomaly(warm_up=5)
    for n in range(10):
        assert not rule.broken_by(span_of({key: 0.5 + n % 2 / 100}))
    assert not rule.broken_by(span_of({key: "x"}))
    assert not rule.broken_by(span_of({key: math.nan}))
    assert rule.broken_by(span_of({key: 50}))


def test_a_lasting_change_becomes_the_usual() -> None:
    """A level that moves and stays: told at first, not after a few windows."""
    rule = Anomaly(warm_up=10, window=20)
    for n in range(20):
        rule.broken_by(span_of(ms=100 + n % 3))
    first = rule.broken_by(span_of(ms=300))
    for n in range(100):
        rule.broken_by(span_of(ms=300 + n % 3))

    assert first
    assert not rule.broken_by(span_of(ms=301))


def test_values_that_never_vary_may_change_in_their_last_digits() -> None:
    """A constant, then a value next to it, then one far away; a constant zero, then anything."""
    steady, zero = Baseline(), Baseline()
    for _ in range(50):
        steady.add(100.0, 1000)
        zero.add(0.0, 1000)

    assert steady.z_score(100.1) < 3 < steady.z_score(101)
    assert zero.z_score(0.0) == 0
    assert zero.z_score(1e-9) == math.inf


def test_the_baseline_is_the_population_variance() -> None:
    """Four values within the window: mean and variance by the book."""
    baseline = Baseline()
    for value in (2.0, 4.0, 4.0, 6.0):
        baseline.add(value, 100)

    assert (baseline.mean, baseline.variance) == (4.0, 2.0)


def test_operations_beyond_the_bound_are_forgotten_oldest_first() -> None:
    """Two operations remembered, three seen: the one not seen for longest starts again."""
    rule = Anomaly(warm_up=2, max_operations=2)
    for name in ("a", "b", "a", "b", "a", "c"):
        rule.broken_by(span_of(ms=10, name=name))

    assert not rule.broken_by(span_of(ms=9000, name="b"))
    assert len(rule._operations) == 2


def test_a_service_name_that_is_no_text_is_no_service() -> None:
    """service.name as a number, spans without end: judged without failing."""
    assert not Anomaly().broken_by(span_of(service=5))
    assert not Anomaly().broken_by(SpanRecord("a", "b", "op", 5, 0, ResourceRecord(), ScopeRecord()))


def test_the_score_weighs_by_severity() -> None:
    """Nothing, one, all broken; a rule nobody knows; no rules at all."""
    scale = Scale([("a", Severity.ERROR), ("b", Severity.WARNING), ("c", Severity.INFO)])

    assert scale.score([]) == 1.0
    assert scale.score(["a"]) == round(1 - 4 / 7, 4)
    assert scale.score(["b", "c"]) == round(1 - 3 / 7, 4)
    assert scale.score(["a", "b", "c"]) == 0.0
    assert scale.score(["a", "b", "c", "unknown"]) == 0.0
    assert Scale([]).score(["unknown"]) == 0.0


class NoTests:
    """A rule such as a package brings."""

    name = "no_tests"
    severity = Severity.INFO

    def broken_by(self, span: SpanRecord) -> bool:
        """Spans of test runs."""
        return span.name.startswith("test")


class Failing(NoTests):
    """A rule with a bug."""

    name = "failing"

    def broken_by(self, span: SpanRecord) -> bool:
        """Fails."""
        raise KeyError(span.name)


class Nameless(NoTests):
    """A rule whose name cannot be one."""

    name = "No Name"


a_rule = NoTests()


def plug_in(monkeypatch: pytest.MonkeyPatch, attribute: str) -> RuleSet:
    entry_point = EntryPoint("mine", f"{__name__}:{attribute}", ruleset.GROUP)
    loaded = globals().get(attribute)

    def load(_self: EntryPoint) -> object:
        if loaded is None:
            raise ImportError("no such thing")
        return loaded

    monkeypatch.setattr(EntryPoint, "load", load)
    monkeypatch.setattr(ruleset, "entry_points", lambda group: [entry_point] if group == ruleset.GROUP else [])
    return RuleSet.of(Quality())


@pytest.mark.parametrize("attribute", ["NoTests", "a_rule"])
def test_rules_are_plugged_in(monkeypatch: pytest.MonkeyPatch, attribute: str) -> None:
    """An entry point that names a class, and one that names a rule: its violations count and score."""
    rules = plug_in(monkeypatch, attribute)

    assert isinstance(a_rule, Rule)
    assert rules.violations(span_of(name="test x")) == ["no_tests"]
    assert 0.9 < rules.score(["no_tests"]) < 1


@pytest.mark.parametrize("attribute", ["missing", "Nameless", "MS", "EntryPoint"])
def test_what_is_no_rule_is_refused(monkeypatch: pytest.MonkeyPatch, attribute: str) -> None:
    """An entry point that cannot be loaded, has no usable name, is a number: a line with its name and the remedy."""
    with pytest.raises(ConfigurationError, match=r"'mine'.*quality\.plugins"):
        plug_in(monkeypatch, attribute)


def test_a_rule_with_a_bug_costs_nothing_but_a_line(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A rule that raises on every span: the others still count, one line is logged, without the span's text."""
    rules = plug_in(monkeypatch, "Failing")
    with caplog.at_level(logging.ERROR):
        results = [rules.violations(span_of({"spanward.memory_mb": -1}, name="alice")) for _ in range(3)]

    assert results == [["memory"]] * 3
    assert len(caplog.records) == 1
    assert "alice" not in caplog.text


def test_the_claims_rule_can_be_turned_off() -> None:
    """`quality.claims.enabled: false`: broken claims add nothing."""
    assert RuleSet.of(Quality.model_validate({"claims": {"enabled": False}})).claims == ()
    assert RuleSet.of(Quality()).claims == ("claims",)
