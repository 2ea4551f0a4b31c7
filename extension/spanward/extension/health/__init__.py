"""The `health` extension: says over HTTP whether the sidecar is alive and ready."""
