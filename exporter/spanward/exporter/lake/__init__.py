"""The `lake` exporter: governed spans into the Delta tables of the data folder."""
