package motan1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// FuzzScan: the result does not depend on splits, and a frame that is found is parsed without a panic.
func FuzzScan(f *testing.F) {
	for _, frame := range readFrames(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		for _, limit := range []int{0, 64} {
			if o := checkSplit(t, buf, limit); o.ok {
				checkParse(t, buf, o.h)
			}
		}
	})
}

// FuzzBody: a body in every kind of frame. Anything that is a request can be written again, and then says the same.
func FuzzBody(f *testing.F) {
	for _, frame := range readFrames(f) {
		f.Add(frame[HeaderLen:])
	}
	var kinds [][]byte
	for _, v := range []Version{Plain, Compress} {
		request := AppendHeartbeat(nil, 1)
		request[18] = byte(v)
		value, err := AppendValue(nil, v, 1, 0, "", nil)
		if err != nil {
			f.Fatal(err)
		}
		kinds = append(kinds, request, value, AppendVoid(nil, v, 1, 0), AppendException(nil, v, 1, 0, Exception{}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, frame := range kinds {
			frame := body(frame, b)
			checkParse(t, frame, mustScan(t, frame))
		}
	})
}

// checkParse parses a frame that may be anything, and looks at all that is found.
func checkParse(t *testing.T, frame []byte, h Header) {
	if h.Kind != KindRequest {
		var r Response
		if err := r.Parse(frame, h); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%x: %v", frame, err)
			}
			return
		}
		if !r.Gzip && !bytes.Contains(frame, r.Value) {
			t.Fatalf("%x: value %x", frame, r.Value)
		}
		return
	}
	var r Request
	if err := r.Parse(frame, h); err != nil {
		if !errors.Is(err, ErrMalformed) || r.Args != 0 || r.Attachments.Len() != 0 {
			t.Fatalf("%x: %+v, %v", frame, r, err)
		}
		return
	}
	if r.Gzip || r.Sign != nil {
		if h.Version != Compress || r.Interface != nil {
			t.Fatalf("%x: %+v", frame, r)
		}
		return
	}
	c := callOf(&r)
	if len(c.Args) != r.Args || len(c.Attachments) != r.Attachments.Len() {
		t.Fatalf("%x: %d arguments of %d, %d attachments of %d", frame, len(c.Args), r.Args, len(c.Attachments), r.Attachments.Len())
	}
	again, err := AppendRequest(nil, h.ID, c)
	if err != nil {
		if !errors.Is(err, ErrUnsupported) { // U+FFFD is longer than the byte it stands for
			t.Fatalf("%x: %v", frame, err)
		}
		return
	}
	var back Request
	if err := back.Parse(again, mustScan(t, again)); err != nil || !sameCall(callOf(&back), c) {
		t.Fatalf("%x, again %x: %q, %v, want %q", frame, again, callOf(&back), err, c)
	}
}

// FuzzFrames reads bytes as a connection would: frame by frame, up to the end or the first error. All bytes are in a frame,
// and frames follow each other.
func FuzzFrames(f *testing.F) {
	frames := readFrames(f)
	f.Add(append(append([]byte{}, frames["heartbeat"]...), frames["plain args"]...))
	f.Add(append(append([]byte{}, frames["compress gzip"]...), frames["reply void"][:20]...))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for len(buf) > 0 {
			h, ok, err := Scan(buf, 0)
			if err != nil || !ok {
				return
			}
			if h.Size < HeaderLen || h.Size > len(buf) || binary.BigEndian.Uint32(buf[28:]) != uint32(h.Size-HeaderLen) {
				t.Fatalf("%x: %+v", buf, h)
			}
			buf = buf[h.Size:]
		}
	})
}
