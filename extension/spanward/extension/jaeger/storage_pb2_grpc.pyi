# Types of the generated `storage_pb2_grpc`, which has none. Kept by hand: one line for each method of the proto.
# ruff: noqa: N802 - the names are the generator's

import grpc
import grpc.aio
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.extension.jaeger import storage_pb2 as pb

class TraceReaderStub:
    GetTraces: grpc.UnaryStreamMultiCallable[pb.GetTracesRequest, TracesData]
    GetServices: grpc.UnaryUnaryMultiCallable[pb.GetServicesRequest, pb.GetServicesResponse]
    GetOperations: grpc.UnaryUnaryMultiCallable[pb.GetOperationsRequest, pb.GetOperationsResponse]
    FindTraces: grpc.UnaryStreamMultiCallable[pb.FindTracesRequest, TracesData]
    FindTraceIDs: grpc.UnaryUnaryMultiCallable[pb.FindTraceIDsRequest, pb.FindTraceIDsResponse]
    FindTraceSummaries: grpc.UnaryStreamMultiCallable[pb.FindTraceSummariesRequest, pb.FindTraceSummariesResponse]
    def __init__(self, channel: grpc.Channel) -> None: ...

class DependencyReaderStub:
    GetDependencies: grpc.UnaryUnaryMultiCallable[pb.GetDependenciesRequest, pb.GetDependenciesResponse]
    def __init__(self, channel: grpc.Channel) -> None: ...

class TraceReaderServicer: ...  # methods are the proto's; each takes (request, context)
class DependencyReaderServicer: ...  # methods are the proto's; each takes (request, context)

def add_TraceReaderServicer_to_server(servicer: TraceReaderServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
def add_DependencyReaderServicer_to_server(
    servicer: DependencyReaderServicer, server: grpc.Server | grpc.aio.Server
) -> None: ...
