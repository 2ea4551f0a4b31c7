"""The `otlp` receiver: OTLP over gRPC and over HTTP, in protobuf and in JSON."""
