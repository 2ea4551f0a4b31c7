package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	export      = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	callTimeout = 60 * time.Second
	pause       = 50 * time.Millisecond
	maxFailures = 100
)

// Load is what to send: the requests in turn, round after round, each round with ids and times of its own.
type Load struct {
	Target      string
	Requests    []*Request
	Time        time.Duration // no new call after it; 0: no limit
	Spans       int64         // no new call once so many were sent; 0: no limit
	InFlight    int
	Connections int
	FirstCopy   uint64
	Apart       time.Duration // between the times in one round and in the next

	next   atomic.Int64 // number of the next call
	sent   atomic.Int64 // spans of the calls that were begun
	failed atomic.Int64
}

// Report is what the clients saw. A refusal that says to try again is followed by the same bytes until they are
// answered: such a call counts once, its latency from the first try on.
type Report struct {
	Accepted    int64   `json:"accepted_spans"`
	Rejected    int64   `json:"rejected_spans"`
	Calls       int64   `json:"calls"`
	Failed      int64   `json:"calls_failed"`
	Refusals    int64   `json:"refusals"`
	Bytes       int64   `json:"bytes"`
	Wall        float64 `json:"wall_s"`
	SpansPerSec float64 `json:"spans_per_s"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	CPU         float64 `json:"cpu_s"`
	LastError   string  `json:"last_error"`

	latencies []time.Duration
}

func (l *Load) run() (*Report, error) {
	connections, err := l.connect()
	if err != nil {
		return nil, err
	}
	reports := make([]Report, l.InFlight)
	cpu, begin := cpuSeconds(), time.Now()
	var group sync.WaitGroup
	for worker := range reports {
		group.Go(func() { l.work(connections[worker%len(connections)], begin, &reports[worker]) })
	}
	group.Wait()
	total := sum(reports)
	total.Wall = time.Since(begin).Seconds()
	total.CPU = cpuSeconds() - cpu
	total.SpansPerSec = float64(total.Accepted) / total.Wall
	for _, connection := range connections {
		connection.Close()
	}
	return total, nil
}

func (l *Load) connect() ([]*grpc.ClientConn, error) {
	connections := make([]*grpc.ClientConn, l.Connections)
	for number := range connections {
		connection, err := grpc.NewClient(l.Target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}), grpc.WaitForReady(true)),
			grpc.WithWriteBufferSize(256<<10),
			grpc.WithDisableRetry())
		if err != nil {
			return nil, err
		}
		connections[number] = connection
	}
	return connections, nil
}

func (l *Load) work(connection *grpc.ClientConn, begin time.Time, report *Report) {
	for (l.Time <= 0 || time.Since(begin) < l.Time) && l.failed.Load() < maxFailures {
		number := l.next.Add(1) - 1
		request := l.Requests[number%int64(len(l.Requests))]
		if before := l.sent.Add(request.Spans) - request.Spans; l.Spans > 0 && before >= l.Spans {
			return
		}
		l.call(connection, request, l.FirstCopy+uint64(number)/uint64(len(l.Requests)), report)
	}
}

func (l *Load) call(connection *grpc.ClientConn, request *Request, number uint64, report *Report) {
	request.Lock() // held by the call of the round before while that is not answered
	defer request.Unlock()
	request.Copy(number, uint64(l.Apart))
	begin := time.Now()
	answer, refusals, err := send(connection, request.Body)
	report.latencies = append(report.latencies, time.Since(begin))
	report.Calls++
	report.Refusals += refusals
	if err == nil {
		var rejected int64
		if rejected, err = rejectedSpans(answer); err == nil {
			report.Rejected += rejected
			report.Accepted += request.Spans - rejected
			report.Bytes += int64(len(request.Body))
			return
		}
	}
	l.failed.Add(1)
	report.Failed++
	report.LastError = err.Error()
	// a call that was given up may still be read by the connection
	request.Body = slices.Clone(request.Body)
}

// send sends until the server takes the bytes or says that it never will.
func send(connection *grpc.ClientConn, body []byte) (answer []byte, refusals int64, err error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		err = connection.Invoke(ctx, export, body, &answer)
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
			if refusals++; time.Duration(refusals)*pause > callTimeout {
				return nil, refusals, err
			}
			time.Sleep(pause)
		default:
			return answer, refusals, err
		}
	}
}

// rejectedSpans reads partial_success.rejected_spans of an ExportTraceServiceResponse.
func rejectedSpans(answer []byte) (rejected int64, err error) {
	err = fields(answer, func(field protowire.Number, kind protowire.Type, from, to int) error {
		if field != 1 || kind != protowire.BytesType {
			return nil
		}
		partial := answer[from:to]
		return fields(partial, func(field protowire.Number, kind protowire.Type, from, to int) error {
			if field == 1 && kind == protowire.VarintType {
				value, _ := protowire.ConsumeVarint(partial[from:to])
				rejected = int64(value)
			}
			return nil
		})
	})
	return rejected, err
}

func sum(reports []Report) *Report {
	total := &Report{}
	for _, one := range reports {
		total.Accepted += one.Accepted
		total.Rejected += one.Rejected
		total.Calls += one.Calls
		total.Failed += one.Failed
		total.Refusals += one.Refusals
		total.Bytes += one.Bytes
		total.latencies = append(total.latencies, one.latencies...)
		if one.LastError != "" {
			total.LastError = one.LastError
		}
	}
	slices.Sort(total.latencies)
	total.P50 = milliseconds(total.latencies, 0.5)
	total.P99 = milliseconds(total.latencies, 0.99)
	return total
}

// milliseconds is a quantile of sorted latencies; 0 without any.
func milliseconds(sorted []time.Duration, quantile float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(quantile*float64(len(sorted))), len(sorted)-1)].Microseconds()) / 1e3
}

// raw is a codec for messages that are bytes already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.([]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, message any) error {
	*message.(*[]byte) = data.Materialize()
	return nil
}
