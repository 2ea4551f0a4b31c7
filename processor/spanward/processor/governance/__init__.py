"""The `policy` processor: a request's bytes to governed rows, in one pass."""
