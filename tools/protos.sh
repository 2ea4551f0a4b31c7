#!/bin/sh
# Generate the stubs of Jaeger's storage API into the extension's folder. What they import comes from the descriptors
# inside the installed packages (opentelemetry-proto ships no .proto files), so that nothing is fetched.
# Usage: tools/protos.sh [PYTHON [FOLDER]]
set -eu
python=${1:-.venv/bin/python}
root=$(cd "$(dirname "$0")/.." && pwd)
out=${2:-$root/extension}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" - "$work/imports.binpb" <<'PYTHON'
import sys

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

files = FileDescriptorSet()
for module in (duration_pb2, timestamp_pb2, common_pb2, resource_pb2, trace_pb2):
    module.DESCRIPTOR.CopyToProto(files.file.add())
with open(sys.argv[1], "wb") as target:
    target.write(files.SerializeToString())
PYTHON

"$python" -m grpc_tools.protoc \
  --descriptor_set_in="$work/imports.binpb" --proto_path="$root/proto" \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  spanward/extension/jaeger/storage.proto
