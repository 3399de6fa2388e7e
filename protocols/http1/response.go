package http1

// Response is the head of an answer. What it holds is valid for as long as the bytes that it was read from.
type Response struct {
	Head
	Status int
	Reason []byte // may be empty
}

// Scan reads the head at the start of b, as [Request.Scan] does.
func (r *Response) Scan(b []byte, from, limit int) (bool, error) {
	if wait, err := waits(b, from, limit); wait || err != nil {
		return false, err
	}
	r.reset()
	first, n, err := line(b)
	switch {
	case err != nil:
		return false, err
	case n == 0 && len(b) > 0 && b[0] != 'H':
		return false, errStatus
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
	return true, r.framed()
}

// statusEnd is where the status ends in HTTP/1.1 200.
const statusEnd = len("HTTP/1.1 200")

// first reads the status line. Some servers leave out the space before a reason that is empty.
func (r *Response) first(l []byte) error {
	if len(l) < statusEnd || l[8] != ' ' || len(l) > statusEnd && l[statusEnd] != ' ' {
		return errStatus
	}
	minor, ok := version(l[:8])
	status, digits := number(l[9:statusEnd])
	if !ok || !digits || status < 100 || !all(l[statusEnd:], isValue) {
		return errStatus
	}
	r.Minor, r.Status, r.Reason = minor, int(status), nil
	if len(l) > statusEnd {
		r.Reason = l[statusEnd+1:]
	}
	return nil
}

// Body begins the body of the answer to a request with method m (RFC 9112, 6.3).
func (r *Response) Body(m Method) Body {
	switch {
	case m == HEAD, r.Status < 200, r.Status == 204, r.Status == 304:
		return Body{}
	case r.chunked:
		return Body{framing: Chunked}
	case r.length < 0:
		return Body{framing: UntilClose}
	case r.length == 0:
		return Body{}
	}
	return Body{framing: Sized, left: r.length}
}

// Reusable reports whether the server takes another request on the connection.
func (r *Response) Reusable() bool { return !r.Close && (r.Minor > 0 || r.KeepAlive) }
