// Loadgen sends recorded OTLP requests to a server and reports what it answered, or is the sink that a server under
// test forwards to. Both print one JSON object on standard output when they end.
//
//	loadgen -target HOST:PORT -requests FILE [-time T] [-spans N] [-in-flight K] [-connections C] [-first-copy N] [-apart T]
//	loadgen -sink HOST:PORT
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

func main() {
	var load Load
	sink := flag.String("sink", "", "receive on this address until SIGTERM, instead of sending")
	threads := flag.Int("threads", 1, "threads of the generator itself; servers under test want the processors")
	file := flag.String("requests", "", "file of requests, each after its length as 4 bytes, little endian")
	flag.StringVar(&load.Target, "target", "127.0.0.1:4317", "OTLP/gRPC server")
	flag.DurationVar(&load.Time, "time", 0, "send no new call after this time; 0: no limit")
	flag.Int64Var(&load.Spans, "spans", 0, "send no new call after so many spans; 0: no limit")
	flag.IntVar(&load.InFlight, "in-flight", 8, "calls under way at any time")
	flag.IntVar(&load.Connections, "connections", 1, "connections that share them")
	flag.Uint64Var(&load.FirstCopy, "first-copy", 1, "number of the first round; rounds of one number have equal ids")
	flag.DurationVar(&load.Apart, "apart", 0, "how much later the spans of each round start than those of the round before")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	if err := run(*sink, *file, &load); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(sink, file string, load *Load) error {
	var report any
	var err error
	switch {
	case sink != "":
		report, err = receive(sink)
	case load.InFlight < 1 || load.Connections < 1:
		return fmt.Errorf("-in-flight and -connections must be above 0")
	case load.Time <= 0 && load.Spans <= 0:
		return fmt.Errorf("give -time or -spans, or it never ends")
	default:
		if load.Requests, err = readRequests(file); err == nil {
			report, err = load.run()
		}
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// cpuSeconds is the user and system time of this process so far.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds()
}
