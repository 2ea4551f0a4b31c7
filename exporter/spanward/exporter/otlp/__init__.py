"""The `otlp` exporter: forwards governed spans to any OTLP endpoint."""
