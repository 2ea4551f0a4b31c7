"""The `memory` exporter: keeps the newest batches, for tests and as the smallest exporter there is."""
