"""The views that SQL finds beside the tables `spans` and `percentiles`; docs/sql.md shows them to users."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

VIEWS: Final = MappingProxyType(
    {
        "traces": """
            SELECT
                tenant,
                trace_id,
                arg_min_null(service_name, start_unix_nano) FILTER (parent_span_id IS NULL) AS root_service,
                arg_min(name, start_unix_nano) FILTER (parent_span_id IS NULL) AS root_name,
                min(start_time) AS start_time,
                max(start_unix_nano + duration_ns) - min(start_unix_nano) AS duration_ns,
                count(*) AS spans,
                count(*) FILTER (status_code = 'error') AS errors,
                list_sort(list(DISTINCT service_name) FILTER (service_name IS NOT NULL)) AS services
            FROM spans
            GROUP BY tenant, trace_id
        """,
        "errors": """
            SELECT
                tenant, start_time, service_name, name, kind, error_type, status_message, duration_ns, trace_id,
                span_id, http_route, http_response_status_code
            FROM spans
            WHERE status_code = 'error'
        """,
        "genai_calls": """
            SELECT
                tenant, start_time, service_name, name,
                gen_ai_operation_name AS operation,
                gen_ai_provider_name AS provider,
                gen_ai_request_model AS request_model,
                gen_ai_response_model AS response_model,
                gen_ai_usage_input_tokens AS input_tokens,
                gen_ai_usage_output_tokens AS output_tokens,
                duration_ns, status_code, error_type, trace_id, span_id
            FROM spans
            WHERE coalesce(gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model) IS NOT NULL
        """,
    },
)
"""Name -> its SELECT."""
