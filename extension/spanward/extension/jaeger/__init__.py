"""Jaeger's storage API: stock Jaeger v2 shows what the table holds."""
