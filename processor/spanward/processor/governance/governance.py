"""The processor at the head of every pipeline."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry

from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.span import SpanRecord
from spanward.sidecar.component import Decoded, Encoding
from spanward.sidecar.instruments import counter
from spanward.store.batch import Batch, Signal
from spanward.store.rows import build_rows

_OTHER: Final = "other"
_DECODERS: Final = {Encoding.PROTOBUF: decode_protobuf, Encoding.JSON: decode_json}


class Governance:
    """Decodes a request, lets the policy work on its spans, and makes rows of what may be stored."""

    def __init__(self, governor: Governor, limits: Limits, metrics: CollectorRegistry, processor: str) -> None:
        self._governor = governor
        self._limits = limits
        self._counters = _Counters(metrics, processor, governor.rules)

    async def start(self) -> None:
        """Nothing to open: the policy was read when the component was made."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    def decode(self, body: bytes, encoding: Encoding, tenant: str, received_at_ns: int) -> Decoded:
        """See `spanward.sidecar.component.Decoder`."""
        spans = _DECODERS[encoding](body, self._limits)
        self._governor.govern(spans.records)
        rows = build_rows(spans.records, tenant=tenant, received_at_ns=received_at_ns)
        dropped = len(spans.records) - rows.num_rows
        self._counters.count(spans.records, spans.rejected, dropped)
        return Decoded(Batch(Signal.TRACES, rows), spans.rejected, dropped, spans.message)


class _Counters:
    """What the policy did, for Prometheus."""

    def __init__(self, metrics: CollectorRegistry, processor: str, rules: Collection[str]) -> None:
        self._processor = processor
        self._rules = rules
        self._spans = counter(
            metrics, "spanward_policy_spans", "Spans, by what became of them.", ("processor", "outcome")
        )
        self._pii = counter(
            metrics, "spanward_policy_pii_spans", "Spans that held personal data, by its type.", ("processor", "type")
        )
        self._violations = counter(
            metrics,
            "spanward_policy_violations",
            "Spans that broke a quality rule, by its name.",
            ("processor", "rule"),
        )

    def count(self, records: list[SpanRecord], rejected: int, dropped: int) -> None:
        outcomes = {"stored": len(records) - dropped, "rejected": rejected, "dropped": dropped}
        for outcome, spans in outcomes.items():
            self._spans.labels(self._processor, outcome).inc(spans)
        verdicts = [record.verdict for record in records if record.verdict is not None]
        for entity, spans in Tally(entity for verdict in verdicts for entity in verdict.pii).items():
            self._pii.labels(self._processor, entity).inc(spans)
        for rule, spans in Tally(
            self._known(rule) for verdict in verdicts for rule in verdict.quality_violations
        ).items():
            self._violations.labels(self._processor, rule).inc(spans)

    def _known(self, rule: str) -> str:
        """A rule's name as a label: senders claim what names they like, and metrics must not grow by that."""
        return rule if rule in self._rules else _OTHER
