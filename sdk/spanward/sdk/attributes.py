"""Names of the span attributes that carry the event record.

docs/event-record.md maps each field of the record to one of these; a test holds that table and this module together.
Names of OpenTelemetry's semantic conventions are used where one exists, the rest lives under `spanward.`.
"""

from __future__ import annotations

from typing import Final

EVENT_ID: Final = "spanward.event.id"
"""Only when the caller brings an id of its own; otherwise the span id is the event's id."""
EVENT_TYPE: Final = "spanward.event.type"
SESSION_ID: Final = "session.id"
REQUEST_ID: Final = "spanward.request.id"
USER_ID: Final = "user.id"
COMPONENT: Final = "spanward.component"
OPERATION: Final = "spanward.operation"
INPUT: Final = "spanward.input"
OUTPUT: Final = "spanward.output"
METADATA_PREFIX: Final = "spanward.metadata."
PROCESSING_TIME_MS: Final = "spanward.processing_time_ms"
MEMORY_MB: Final = "spanward.memory_mb"
CPU_PERCENT: Final = "spanward.cpu_percent"
QUALITY_SCORE: Final = "spanward.quality.score"
CLASSIFICATION: Final = "spanward.classification"
RETENTION: Final = "spanward.retention"
CONTAINS_PII: Final = "spanward.contains_pii"
PRIVACY_TAGS: Final = "spanward.privacy.tags"
REGISTRATION_TARGET: Final = "spanward.registration.target"
"""On a `spanward.register` span: the event id or lake file that is being registered."""
LINK_RELATION: Final = "spanward.link.relation"
"""On a span link: `parent` when the linked span is what this one was made from, `subject` on a registration."""

CODE_FUNCTION_NAME: Final = "code.function.name"
ERROR_TYPE: Final = "error.type"
