package grpc

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// Codes of gRPC (github.com/grpc/grpc/doc/statuscodes.md).
const (
	statusOK                = 0
	statusDeadlineExceeded  = 4
	statusPermissionDenied  = 7
	statusResourceExhausted = 8
	statusUnimplemented     = 12
	statusUnavailable       = 14
)

// statuses are those of the agent's own answers.
var statuses = [...]int{
	resources.Unavailable: statusUnavailable,
	resources.Unknown:     statusUnavailable,
	resources.Timeout:     statusDeadlineExceeded,
	resources.Limited:     statusResourceExhausted,
	resources.Degraded:    statusUnavailable,
	resources.BreakerOpen: statusUnavailable,
	resources.Denied:      statusPermissionDenied,
	resources.TooLarge:    statusResourceExhausted,
	resources.Draining:    statusUnavailable,
}

// appendFault appends a fault as the whole answer to a call: headers that are trailers as well ("Trailers-Only"). Nothing of it
// goes into the table of the client, so that it can be made without the connection.
func appendFault(dst []byte, stream uint32, f *resources.Fault) []byte {
	return appendStatus(dst, stream, statuses[f.Code], f.Text, f.Code == resources.Unknown)
}

// appendStatus appends a status as the whole answer to a call. never asks the client not to repeat the call by itself.
func appendStatus(dst []byte, stream uint32, code int, text string, never bool) []byte {
	return appendBlock(dst, stream, true, func(b []byte) []byte {
		b = http2.AppendField(append(b, http2.Status200), "content-type", "application/grpc")
		return appendEnd(b, code, text, never)
	})
}

// appendTrailers appends a fault as the end of an answer that its server began.
func appendTrailers(dst []byte, stream uint32, f *resources.Fault) []byte {
	return appendBlock(dst, stream, true, func(b []byte) []byte { return appendEnd(b, statuses[f.Code], f.Text, f.Code == resources.Unknown) })
}

func appendEnd(b []byte, code int, text string, never bool) []byte {
	b = http2.AppendField(b, "grpc-status", strconv.Itoa(code))
	if text != "" {
		b = http2.AppendField(b, "grpc-message", escape(text))
	}
	if never {
		b = http2.AppendField(b, "grpc-retry-pushback-ms", "-1")
	}
	return b
}

// appendBlock appends HEADERS with a block that fits into one frame.
func appendBlock(dst []byte, stream uint32, end bool, block func([]byte) []byte) []byte {
	at := len(dst)
	dst = block(append(dst, make([]byte, http2.HeadSize)...))
	flags := byte(http2.FlagEndHeaders)
	if end {
		flags |= http2.FlagEndStream
	}
	http2.AppendHead(dst[at:at], len(dst)-at-http2.HeadSize, http2.TypeHeaders, flags, stream)
	return dst
}

// longestText is the longest text of a status, in bytes as they are sent.
const longestText = 8 << 10

// escape writes a text as grpc-message has it: bytes that are not printable ASCII, and %, as %XX.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < longestText; i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// AppendStop implements resources.Resource.
func (r *Resource) AppendStop(dst []byte, c *resources.Call, st *resources.Stop) []byte {
	stream := uint32(1)
	if own, ok := c.View.(*call); ok {
		stream = own.id
	}
	if st.Fault != nil {
		return appendFault(dst, stream, st.Fault)
	}
	message, err := fixed(st)
	if err != nil {
		return appendFault(dst, stream, fault(resources.Degraded, r.rt.Name(), err.Error()))
	}
	dst = appendBlock(dst, stream, false, func(b []byte) []byte {
		return http2.AppendField(append(b, http2.Status200), "content-type", "application/grpc")
	})
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	dst = http2.AppendData(dst, stream, false, append(head, message...))
	return appendBlock(dst, stream, true, func(b []byte) []byte { return appendEnd(b, statusOK, "", false) })
}

// rawPrefix begins a reply that is a message as it is.
const rawPrefix = "base64:"

// fixed is the message that a rule answers with: an empty one, which has every field at its default; a message whose field 1 is
// the text, as google.protobuf.StringValue and many others are; or any message, in base64.
func fixed(st *resources.Stop) ([]byte, error) {
	if st.Empty {
		return nil, nil
	}
	text := st.Reply
	if strings.HasPrefix(text, rawPrefix) {
		b, err := base64.StdEncoding.DecodeString(text[len(rawPrefix):])
		if err != nil {
			return nil, &mockError{err}
		}
		return clipMessage(b)
	}
	b := binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(text)))
	return clipMessage(append(b, text...))
}

type mockError struct{ err error }

func (e *mockError) Error() string {
	return "the answer that a rule gives is no base64: " + e.err.Error()
}

// clipMessage refuses a message that does not fit into the frame and the window that every client takes.
func clipMessage(b []byte) ([]byte, error) {
	if len(b) > http2.DefaultFrame-5 {
		return nil, &largeError{len(b)}
	}
	return b, nil
}

type largeError struct{ size int }

func (e *largeError) Error() string {
	return "the answer that a rule gives has " + strconv.Itoa(e.size) + " bytes, at most " + strconv.Itoa(http2.DefaultFrame-5) + " are possible"
}
