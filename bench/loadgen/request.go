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

// Request is a serialized ExportTraceServiceRequest whose ids change in place: a server may recognise a repeated body.
// Whoever sends it holds the lock until the answer is there.
type Request struct {
	sync.Mutex
	Body  []byte
	Spans int64

	ids  []int  // where eight bytes of each trace, span, parent and link id lie
	mask uint64 // what they are XORed with at the moment
}

// NewRequest finds the spans and ids of a body, which it keeps and will change.
func NewRequest(body []byte) (*Request, error) {
	request := &Request{Body: body}
	return request, request.find(0, len(body), message)
}

// Copy makes the request the one of this number. 0 is the original; ids of all numbers differ, and references between
// spans hold, for equal ids change equally.
func (r *Request) Copy(number uint64) {
	mask := number * stride
	change := r.mask ^ mask
	for _, at := range r.ids {
		binary.LittleEndian.PutUint64(r.Body[at:], binary.LittleEndian.Uint64(r.Body[at:])^change)
	}
	r.mask = mask
}

// level is where in a request a message stands.
type level int

const (
	message level = iota
	resource
	scope
	span
	link
	leaf
)

// below says what a field of a message holds, and where in an id the bytes to change begin: the second half of a trace id.
func below(in level, field protowire.Number) (within level, offset int) {
	switch {
	case in == message && field == 1:
		return resource, 0
	case in == resource && field == 2:
		return scope, 0
	case in == scope && field == 2:
		return span, 0
	case in == span && field == 13:
		return link, 0
	case (in == span || in == link) && field == 1:
		return leaf, 8
	case in == span && (field == 2 || field == 4), in == link && field == 2:
		return leaf, 0
	}
	return in, -1
}

func (r *Request) find(begin, end int, in level) error {
	return fields(r.Body[begin:end], func(field protowire.Number, kind protowire.Type, from, to int) error {
		within, offset := below(in, field)
		from, to = begin+from, begin+to
		switch {
		case kind != protowire.BytesType || offset < 0:
			return nil
		case within == leaf:
			if to-from == offset+8 {
				r.ids = append(r.ids, from+offset)
			}
			return nil
		case within == span:
			r.Spans++
		}
		return r.find(from, to, within)
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
