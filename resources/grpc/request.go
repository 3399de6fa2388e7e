package grpc

import (
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/http2"
)

// request is the header list of a call.
type request struct {
	fields      []http2.Field // all of them, as they came
	method      string
	path        string // /package.Service/Method
	authority   string
	contentType string
	timeout     string
	trace       string
	malformed   string // why nobody may pass it on (RFC 9113, section 8.2); "": it is well
}

// service returns the service's name with its package.
func (q *request) service() string {
	if len(q.path) < 2 || q.path[0] != '/' {
		return ""
	}
	service, _, ok := strings.Cut(q.path[1:], "/")
	if !ok {
		return ""
	}
	return service
}

// read takes a header list over.
func (q *request) read(fields []http2.Field) {
	*q = request{fields: append(q.fields[:0], fields...)}
	pseudo, scheme := true, ""
	var seen [4]bool // of the four below
	for i := range q.fields {
		f := &q.fields[i]
		if f.IsPseudo() {
			var at *string
			var n int
			switch f.Name {
			case ":method":
				at, n = &q.method, 0
			case ":path":
				at, n = &q.path, 1
			case ":authority":
				at, n = &q.authority, 2
			case ":scheme":
				at, n = &scheme, 3
			default:
				q.malformed = "an unknown pseudo-header"
				return
			}
			if seen[n] || !pseudo {
				q.malformed = f.Name + " twice, or after other headers"
				return
			}
			if !legal(f.Value) {
				q.malformed = f.Name + " with a character that none may have"
				return
			}
			*at, seen[n] = f.Value, true
			continue
		}
		pseudo = false
		if q.malformed = wrong(f); q.malformed != "" {
			return
		}
		switch f.Name {
		case "content-type":
			q.contentType = f.Value
		case "grpc-timeout":
			q.timeout = f.Value
		case "traceparent":
			q.trace = f.Value
		case "host":
			if q.authority == "" {
				q.authority = f.Value
			}
		}
	}
	if q.method == "" || q.path == "" || scheme == "" {
		q.malformed = "no :method, :scheme or :path"
	}
}

// get returns the value of a metadata key; "" when there is none.
func (q *request) get(key string) string {
	for i := range q.fields {
		if q.fields[i].Name == key {
			return q.fields[i].Value
		}
	}
	return ""
}

// wrong says what is wrong with a field; "" when nothing is. A name or value that means something else to the next one in line
// could smuggle a request into another.
func wrong(f *http2.Field) string {
	if f.Name == "" {
		return "a header without a name"
	}
	for i := range len(f.Name) {
		if !nameBytes[f.Name[i]] {
			return "a header name with a character that none may have"
		}
	}
	if !legal(f.Value) {
		return "a header value with a character that none may have"
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return "a header that belongs to a connection of HTTP/1"
	case "te":
		if f.Value != "trailers" {
			return "te that is not trailers"
		}
	}
	return ""
}

// legal reports whether a header may have a value (RFC 9113, section 8.2.1).
func legal(value string) bool {
	return strings.IndexByte(value, 0) < 0 && strings.IndexByte(value, '\n') < 0 && strings.IndexByte(value, '\r') < 0
}

// nameBytes are the bytes of names: tokens of RFC 9110 without upper case.
var nameBytes = func() (ok [256]bool) {
	for c := range ok {
		ok[c] = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 && c != 0
	}
	return ok
}()

// parseTimeout reads a grpc-timeout: at most 8 digits and a unit. It returns ns, or -1 when it is none.
// Source: "gRPC over HTTP2", Requests (github.com/grpc/grpc/doc/PROTOCOL-HTTP2.md).
func parseTimeout(s string) int64 {
	if len(s) < 2 || len(s) > 9 {
		return -1
	}
	n := int64(0)
	for i := range len(s) - 1 {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	unit, ok := units[s[len(s)-1]]
	if !ok {
		return -1
	}
	if n > int64(maxTimeout)/unit {
		return int64(maxTimeout)
	}
	return n * unit
}

const maxTimeout = int64(100 * 365 * 24 * 3600e9)

var units = map[byte]int64{'H': 3600e9, 'M': 60e9, 'S': 1e9, 'm': 1e6, 'u': 1e3, 'n': 1}

// appendTimeout appends a time in ns as a grpc-timeout, rounded up to a unit in which it has at most 8 digits.
func appendTimeout(dst []byte, ns int64) []byte {
	ns = max(ns, 1)
	for _, u := range [...]struct {
		unit byte
		ns   int64
	}{{'n', 1}, {'u', 1e3}, {'m', 1e6}, {'S', 1e9}, {'M', 60e9}} {
		if n := (ns + u.ns - 1) / u.ns; n < 1e8 {
			return append(strconv.AppendInt(dst, n, 10), u.unit)
		}
	}
	return append(strconv.AppendInt(dst, min((ns+3600e9-1)/3600e9, 1e8-1), 10), 'H')
}
