package http1

import "bytes"

// Method is a request's method.
type Method uint8

// The methods that are known (RFC 9110, 9.3; PATCH: RFC 5789).
const (
	OtherMethod Method = iota
	GET
	HEAD
	POST
	PUT
	DELETE
	OPTIONS
	PATCH
	TRACE
	CONNECT
	NumMethods = iota
)

var methodNames = [NumMethods]string{"other", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}

// String returns the method as requests have it.
func (m Method) String() string { return methodNames[m] }

// MethodOf finds out which method a word is; methods are written in upper case.
func MethodOf(b []byte) Method {
	for m := GET; m < NumMethods; m++ {
		if string(b) == methodNames[m] {
			return m
		}
	}
	return OtherMethod
}

// Request is the head of a request. What it holds is valid for as long as the bytes that it was read from.
type Request struct {
	Head
	Method     Method
	MethodText []byte
	// Target is what a server is asked for: a path with its query, or "*"; empty for the root of an absolute URL, and for
	// CONNECT. It may begin with "?", when an absolute URL has a query and no path.
	Target []byte
	// Host is whom the request is for, with the port if there is one: of an absolute URL or of CONNECT, else of the field.
	Host []byte
	// Absolute says that the target was a whole URL, as proxies get it.
	Absolute bool
	// Continue says that the client waits for 100 before it sends the body.
	Continue bool
}

// maxMethod is the longest method, in bytes.
const maxMethod = 32

// Scan reads the head at the start of b, of at most max bytes. It reports false when the head is not whole; then from may
// tell the next Scan how many bytes this one has seen. An error, always an [*Error], says that b will never be a request.
func (r *Request) Scan(b []byte, from, limit int) (bool, error) {
	if wait, err := waits(b, from, limit); wait || err != nil {
		return false, err
	}
	r.reset()
	first, n, err := line(b)
	switch {
	case err != nil:
		return false, err
	case n == 0 && len(b) > 0 && chars[b[0]]&isToken == 0 && b[0] != '\r':
		return false, errMethod // not HTTP at all, and it need not have lines
	case n == 0 && len(b) > limit:
		return false, errLarge
	case n == 0:
		return false, nil
	}
	if err := r.first(first); err != nil {
		return false, err
	}
	if ok, err := r.scan(b, n, limit); !ok {
		return false, err
	}
	return true, r.check()
}

// first reads the request line.
func (r *Request) first(l []byte) error {
	r.Absolute, r.Continue, r.Host = false, false, nil
	a, z := bytes.IndexByte(l, ' '), bytes.LastIndexByte(l, ' ')
	if a <= 0 || a == z {
		return errLine
	}
	r.MethodText = l[:a]
	if a > maxMethod || !all(r.MethodText, isToken) {
		return errMethod
	}
	r.Method = MethodOf(r.MethodText)
	target := l[a+1 : z]
	if len(target) == 0 || !all(target, isTarget) {
		return errTarget
	}
	minor, ok := version(l[z+1:])
	if !ok {
		return errVersion
	}
	r.Minor = minor
	return r.target(target)
}

const scheme = "http://"

// target reads the target in one of its four forms (RFC 9112, 3.2).
func (r *Request) target(t []byte) error {
	r.Target = t
	switch {
	case r.Method == CONNECT:
		r.Host, r.Target = t, nil
		if !all(t, isHost) {
			return errForm
		}
	case t[0] == '/', r.Method == OPTIONS && len(t) == 1 && t[0] == '*':
	case len(t) > len(scheme) && EqualFold(t[:len(scheme)], scheme):
		t = t[len(scheme):]
		end := bytes.IndexAny(t, "/?")
		if end < 0 {
			end = len(t)
		}
		r.Host, r.Target, r.Absolute = t[:end], t[end:], true
		if end == 0 || !all(r.Host, isHost) {
			return errForm
		}
	default:
		return errForm
	}
	return nil
}

// check looks at what the fields say together.
func (r *Request) check() error {
	if err := r.framed(); err != nil {
		return err
	}
	if r.hosts > 1 || r.hosts == 0 && r.Minor > 0 || !all(r.host, isHost) {
		return errHost
	}
	if r.Host == nil {
		r.Host = r.host
	}
	r.Continue = r.Minor > 0 && EqualFold(r.Last(Expect), "100-continue")
	return nil
}

// Body begins the request's body.
func (r *Request) Body() Body {
	switch {
	case r.chunked:
		return Body{framing: Chunked}
	case r.length > 0:
		return Body{framing: Sized, left: r.length}
	}
	return Body{}
}

// Reusable reports whether the client may send another request on the connection.
func (r *Request) Reusable() bool { return !r.Close && (r.Minor > 0 || r.KeepAlive) }

// Path returns the target without its query.
func (r *Request) Path() []byte {
	path := r.Target
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if len(path) == 0 {
		return slash
	}
	return path
}

var slash = []byte{'/'}

// AppendLine appends the request line as a server gets it.
func (r *Request) AppendLine(dst []byte) []byte {
	dst = append(append(dst, r.MethodText...), ' ')
	switch {
	case len(r.Target) == 0 && r.Method == OPTIONS:
		dst = append(dst, '*') // RFC 9112, 3.2.4
	case len(r.Target) == 0 || r.Target[0] == '?':
		dst = append(dst, '/')
	}
	dst = append(dst, r.Target...)
	return append(dst, " HTTP/1.1\r\n"...)
}
