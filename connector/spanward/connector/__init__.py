"""Connectors: consumers of one kind of data that make another kind of it."""
