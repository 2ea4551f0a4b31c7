package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// masked is the attribute by which the Collector's redaction processor says that it has changed a span.
var masked = []byte("redaction.masked.count")

const maxMessage = 64 << 20

// Sink counts what it is sent and forgets it.
type Sink struct {
	spans, masked atomic.Int64
}

// Counts is what a sink got.
type Counts struct {
	Spans  int64 `json:"spans"`
	Masked int64 `json:"masked"`
}

// receive is a sink until SIGTERM.
func receive(address string) (*Counts, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	var sink Sink
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(maxMessage))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: sink.export}},
	}, &sink)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		return nil, err
	}
	return &Counts{sink.spans.Load(), sink.masked.Load()}, nil
}

func (s *Sink) export(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var body []byte
	if err := decode(&body); err != nil {
		return nil, err
	}
	spans, err := countSpans(body, 3)
	if err != nil {
		return nil, err
	}
	s.spans.Add(spans)
	s.masked.Add(int64(bytes.Count(body, masked)))
	return []byte{}, nil
}

// countSpans counts the messages at a depth of a request: of resource_spans, field 1, of scope_spans and spans, field 2.
func countSpans(data []byte, depth int) (count int64, err error) {
	wanted := protowire.Number(2)
	if depth == 3 {
		wanted = 1
	}
	err = fields(data, func(field protowire.Number, kind protowire.Type, from, to int) error {
		if field != wanted || kind != protowire.BytesType {
			return nil
		}
		if depth == 1 {
			count++
			return nil
		}
		inner, err := countSpans(data[from:to], depth-1)
		count += inner
		return err
	})
	return count, err
}
