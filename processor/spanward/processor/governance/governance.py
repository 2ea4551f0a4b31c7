"""The processor at the head of every pipeline."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Collection, Sequence
from typing import Final

import pyarrow as pa
from prometheus_client import CollectorRegistry

from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.governed import GovernedRows
from spanward.processor.governance.kernel import Kernel
from spanward.processor.governance.limits import Limits, check_shared
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.span import SpanRecord
from spanward.sidecar.component import Decoded, Encoding
from spanward.sidecar.instruments import counter
from spanward.store.batch import Batch, Signal
from spanward.store.intake import DecodedGroup, Request, grouped
from spanward.store.rows import build_rows

_LOGGER: Final = logging.getLogger(__name__)
_OTHER: Final = "other"
_DECODERS: Final = {Encoding.PROTOBUF: decode_protobuf, Encoding.JSON: decode_json}


class Governance:
    """Decodes a request, lets the policy work on its spans, and makes rows of what may be stored.

    The compiled kernel does all of it in one pass where there is one; what it leaves, and everything where there is
    none, the twin in Python does.
    """

    def __init__(
        self,
        governor: Governor,
        limits: Limits,
        metrics: CollectorRegistry,
        processor: str,
        kernel: Kernel | None = None,
    ) -> None:
        self._governor = governor
        self._limits = limits
        self._kernel = kernel
        self._counters = _Counters(metrics, processor, governor.rules)

    async def start(self) -> None:
        """Say once which of the two runs. Nothing to open: the policy was read when the component was made."""
        _LOGGER.info("the policy runs in %s", "Python" if self._kernel is None else "the compiled kernel")

    async def shutdown(self) -> None:
        """Nothing to close."""

    def decode_all(self, requests: Sequence[Request]) -> DecodedGroup:
        """See `spanward.sidecar.component.Decoder`."""
        if self._kernel is not None:
            group = self._kernel.decode_all(requests)
            if group is not None:
                self._counters.count("kernel", group.governed, requests=len(requests))
                return DecodedGroup(group.governed.rows, group.outcomes)
        return grouped([self._outcome(request) for request in requests])

    def _outcome(self, request: Request) -> Decoded | Exception:
        try:
            return self.decode(request.body, Encoding(str(request.form)), request.tenant, request.received_at_ns)
        except Exception as error:  # noqa: BLE001 - each request has its own outcome; a bug is logged by who answers
            return error

    def decode(self, body: bytes, encoding: Encoding, tenant: str, received_at_ns: int) -> Decoded:
        """One request.

        Raises:
            InvalidRequestError: the body is not the message it should be.
        """
        if self._kernel is not None:
            governed = self._kernel.decode(body, encoding, tenant, received_at_ns)
            if governed is not None:
                self._counters.count("kernel", governed)
                return Decoded(Batch(Signal.TRACES, governed.rows), dropped=governed.dropped)
        return self._decode(body, encoding, tenant, received_at_ns)

    def _decode(self, body: bytes, encoding: Encoding, tenant: str, received_at_ns: int) -> Decoded:
        spans = _DECODERS[encoding](body, self._limits)
        check_shared(spans.records)
        self._governor.govern(spans.records)
        rows = build_rows(spans.records, tenant=tenant, received_at_ns=received_at_ns)
        governed = _governed(spans.records, rows)
        self._counters.count("python", governed, spans.rejected)
        return Decoded(Batch(Signal.TRACES, rows), spans.rejected, governed.dropped, spans.message)


def _governed(records: list[SpanRecord], rows: pa.RecordBatch) -> GovernedRows:
    verdicts = [record.verdict for record in records if record.verdict is not None]
    return GovernedRows(
        rows,
        dropped=len(records) - rows.num_rows,
        pii=Tally(entity for verdict in verdicts for entity in verdict.pii),
        violations=Tally(rule for verdict in verdicts for rule in verdict.quality_violations),
    )


class _Counters:
    """What the policy did, for Prometheus."""

    def __init__(self, metrics: CollectorRegistry, processor: str, rules: Collection[str]) -> None:
        self._processor = processor
        self._rules = rules
        self._requests = counter(
            metrics, "spanward_policy_requests", "Requests decoded, by what did it.", ("processor", "engine")
        )
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

    def count(self, engine: str, governed: GovernedRows, rejected: int = 0, requests: int = 1) -> None:
        self._requests.labels(self._processor, engine).inc(requests)
        outcomes = {"stored": governed.rows.num_rows, "rejected": rejected, "dropped": governed.dropped}
        for outcome, spans in outcomes.items():
            self._spans.labels(self._processor, outcome).inc(spans)
        for entity, spans in governed.pii.items():
            self._pii.labels(self._processor, entity).inc(spans)
        for rule, spans in governed.violations.items():
            self._violations.labels(self._processor, self._known(rule)).inc(spans)

    def _known(self, rule: str) -> str:
        """A rule's name as a label: senders claim what names they like, and metrics must not grow by that."""
        return rule if rule in self._rules else _OTHER
