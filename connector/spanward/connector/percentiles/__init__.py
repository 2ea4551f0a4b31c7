"""Latency percentiles: spans to mergeable sketches, sketches to a table, to SQL and to Prometheus."""
