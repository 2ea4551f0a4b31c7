"""The policy inside an application: wrappers for OpenTelemetry's span exporters and processors.

The SDK freezes a span's attributes when it ends, so nothing can change one in place. The wrappers govern a copy and
hand on a fresh ReadableSpan. Prefer `GovernedSpanExporter` behind the stock batch processor: the work is then done in
its worker thread, not in the thread that ended the span. Use `GovernedSpanProcessor` around a processor
that is not yours.

Other processors on the same provider still see the raw spans.
"""

from spanward.processor.otel.convert import to_readable, to_record
from spanward.processor.otel.exporter import GovernedSpanExporter
from spanward.processor.otel.processor import GovernedSpanProcessor

__all__ = ["GovernedSpanExporter", "GovernedSpanProcessor", "to_readable", "to_record"]
