"""The sidecar: component model, configuration, graph, scheduled jobs, command line."""
