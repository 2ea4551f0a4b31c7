package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// stride is odd, so that its multiples modulo 2^64 do not repeat, and irregular, so that ids do not look alike.
const stride = 0x9E37_79B9_7F4A_7C15

// Request is a serialized ExportTraceServiceRequest whose ids and times change in place: a server may recognise a repeated
// body, and time goes on. Whoever sends it holds the lock until the answer is there.
type Request struct {
	sync.Mutex
	Body  []byte
	Spans int64

	ids   []int  // where the first eight bytes of each trace, span, parent and link id lie
	times []int  // where the eight bytes of each span's start and end and each event's time lie
	mask  uint64 // what the ids are XORed with at the moment
	late  uint64 // nanoseconds that are added to the times at the moment
}

// NewRequest finds the spans, ids and times of a body, which it keeps and will change.
func NewRequest(body []byte) (*Request, error) {
	request := &Request{Body: body}
	return request, request.find(0, len(body), message)
}

// Copy makes the request the one of this number, so many times apart nanoseconds later. 0 is the original; ids of all
// numbers differ, and references between spans hold, for equal ids change equally.
func (r *Request) Copy(number, apart uint64) {
	mask, late := number*stride, number*apart
	change, passed := r.mask^mask, late-r.late
	for _, at := range r.ids {
		binary.LittleEndian.PutUint64(r.Body[at:], binary.LittleEndian.Uint64(r.Body[at:])^change)
	}
	for _, at := range r.times {
		binary.LittleEndian.PutUint64(r.Body[at:], binary.LittleEndian.Uint64(r.Body[at:])+passed)
	}
	r.mask, r.late = mask, late
}

// level is where in a request a message stands.
type level int

const (
	message level = iota
	resource
	scope
	span
	event
	link
	id
	other
)

// below says what a field of a message holds that is no number.
func below(in level, field protowire.Number) level {
	switch {
	case in == message && field == 1:
		return resource
	case in == resource && field == 2:
		return scope
	case in == scope && field == 2:
		return span
	case in == span && field == 11:
		return event
	case in == span && field == 13:
		return link
	case in == span && (field == 1 || field == 2 || field == 4), in == link && (field == 1 || field == 2):
		return id
	}
	return other
}

// isTime says whether a field of a message is a time in nanoseconds.
func isTime(in level, field protowire.Number) bool {
	return in == span && (field == 7 || field == 8) || in == event && field == 1
}

func (r *Request) find(begin, end int, in level) error {
	return fields(r.Body[begin:end], func(field protowire.Number, kind protowire.Type, from, to int) error {
		from, to = begin+from, begin+to
		if kind == protowire.Fixed64Type && isTime(in, field) {
			r.times = append(r.times, from)
		}
		if kind != protowire.BytesType {
			return nil
		}
		switch within := below(in, field); within {
		case other:
			return nil
		case id:
			if to-from >= 8 {
				r.ids = append(r.ids, from)
			}
			return nil
		case span:
			r.Spans++
			fallthrough
		default:
			return r.find(from, to, within)
		}
	})
}

// fields calls visit with the number, the wire type and the place of the value of each field of a message.
func fields(data []byte, visit func(field protowire.Number, kind protowire.Type, from, to int) error) error {
	for at := 0; at < len(data); {
		field, kind, tag := protowire.ConsumeTag(data[at:])
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		from := at + tag
		size := protowire.ConsumeFieldValue(field, kind, data[from:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		at = from + size
		if kind == protowire.BytesType {
			_, prefix := protowire.ConsumeVarint(data[from:])
			from += prefix
		}
		if err := visit(field, kind, from, at); err != nil {
			return err
		}
	}
	return nil
}

func readRequests(path string) ([]*Request, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var requests []*Request
	for len(data) > 0 {
		if len(data) < 4 || len(data)-4 < int(binary.LittleEndian.Uint32(data)) {
			return nil, fmt.Errorf("%s: request %d is cut off", path, len(requests))
		}
		end := 4 + int(binary.LittleEndian.Uint32(data))
		request, err := NewRequest(data[4:end:end])
		if err != nil {
			return nil, fmt.Errorf("%s: request %d: %w", path, len(requests), err)
		}
		requests, data = append(requests, request), data[end:]
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s holds no requests", path)
	}
	return requests, nil
}
