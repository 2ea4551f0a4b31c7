"""Components that take telemetry out of a pipeline."""
