package motan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Frame is one message on the wire, of Motan2 or Motan1.
type Frame struct {
	FromServer bool
	Bytes      []byte // the whole message, as it was sent
}

const (
	magic     = 0xf1f1
	head      = 13       // bytes of Motan2's, before the size of the meta data
	head1     = 16       // bytes of Motan1's, which ends with the size of the rest
	frameMost = 32 << 20 // bytes of a part; peers take 10 MiB
)

// Version is 2 or 1.
func (f Frame) Version() int {
	if f.Bytes[3]>>3 == 0 {
		return 1
	}
	return 2
}

// Heartbeat reports whether f is a request or a response that only keeps a connection. In Motan1 these are a call of an
// interface of that name and its result, the text "heartbeat" in hessian.
func (f Frame) Heartbeat() bool {
	if f.Version() == 1 {
		text := string(f.Bytes)
		return !f.FromServer && strings.Contains(text, "com.weibo.api.motan.rpc.heartbeat") || f.FromServer && strings.HasSuffix(text, "\theartbeat")
	}
	return f.Bytes[2]&0x10 != 0
}

// Failed reports whether f is a response with an exception.
func (f Frame) Failed() bool {
	if f.Version() == 1 { // the inner head's flag
		return f.Bytes[2] == 0 && f.Bytes[3] == 1 && len(f.Bytes) > head1+3 && f.Bytes[head1+3] == 5
	}
	return f.Bytes[3]&7 != 0
}

// Kind names what f is: "request", "response", "exception", "heartbeat-request" or "heartbeat-response".
func (f Frame) Kind() string {
	kind := "request"
	switch {
	case f.FromServer && f.Failed():
		kind = "exception"
	case f.FromServer:
		kind = "response"
	}
	if f.Heartbeat() {
		kind = "heartbeat-" + kind
	}
	return kind
}

// Meta returns the meta data of a Motan2 message. What is given twice is there once.
func (f Frame) Meta() map[string]string {
	meta := map[string]string{}
	lines := strings.Split(string(f.part(head)), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		meta[lines[i]] = lines[i+1]
	}
	return meta
}

// Body returns the body of a Motan2 message, as it was sent.
func (f Frame) Body() []byte { return f.part(head + 4 + len(f.part(head))) }

// part returns what follows its size, which stands at an offset.
func (f Frame) part(at int) []byte {
	size := int(binary.BigEndian.Uint32(f.Bytes[at:]))
	return f.Bytes[at+4 : at+4+size]
}

// readFrame reads one message.
func readFrame(r *bufio.Reader) ([]byte, error) {
	b := make([]byte, head1)
	if _, err := io.ReadFull(r, b[:head]); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint16(b) != magic {
		return nil, fmt.Errorf("% x is no head of a message", b[:head])
	}
	if b[3]>>3 == 0 {
		if _, err := io.ReadFull(r, b[head:]); err != nil {
			return nil, err
		}
		return more(r, b, int64(binary.BigEndian.Uint32(b[head1-4:])))
	}
	b, err := more(r, b[:head], 4)
	for range 2 { // meta data and the size of the body; body
		if err != nil {
			return nil, err
		}
		size := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
		if len(b) == head+4 {
			size += 4
		}
		b, err = more(r, b, size)
	}
	return b, err
}

// more appends n bytes from r to b.
func more(r io.Reader, b []byte, n int64) ([]byte, error) {
	if n > frameMost {
		return nil, fmt.Errorf("a part of %d bytes", n)
	}
	rest, err := io.ReadAll(io.LimitReader(r, n)) // takes no memory for what does not come
	if err == nil && int64(len(rest)) < n {
		err = io.ErrUnexpectedEOF
	}
	return append(b, rest...), err
}
