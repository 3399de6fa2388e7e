package resp

import (
	"bytes"
	"math"
)

// Status is what Scan found.
type Status uint8

const (
	// NeedMore: the request is not whole. Read more behind the bytes that are there and scan again.
	NeedMore Status = iota
	// Complete: the first Size bytes of the buffer are a request.
	Complete
	// Empty: the first Size bytes are an empty line, "*0" or a negative count: drop them, they get no reply.
	Empty
	// Large: an argument longer than Limits.Stream has begun and is not wholly there. Argc, HeadArgs, the arguments
	// before it and PendingBulk are known. Go on with Relay, or scan again with more bytes.
	Large
)

// String returns the status in words.
func (s Status) String() string {
	switch s {
	case NeedMore:
		return "need more"
	case Complete:
		return "complete"
	case Empty:
		return "empty"
	case Large:
		return "large"
	}
	return "unknown"
}

// Span is a piece of the buffer, relative to the request's first byte.
type Span struct{ Off, Len int32 }

// headArgs is how many arguments a Request remembers: name, subcommand or key, key, value.
const headArgs = 4

// phase is where a scan stopped.
type phase uint8

const (
	phaseStart  phase = iota // nothing decided: at the first byte, or in the first line
	phaseLength              // at the start of an argument's length line
	phaseBody                // at the start of an argument's body
	phaseDone                // Complete or Empty
	phaseFailed
)

// Request is one request of a client, found in a buffer but not copied out of it. It has a fixed size and no pointers
// into the buffer; the buffer may move between two calls as long as the request's bytes stay the same. The zero value
// is ready; Reset makes it so again.
type Request struct {
	Argc   int  // arguments that the request has, the command's name included; 0 until the count is known
	Size   int  // bytes of the request, once Complete or Empty
	Inline bool // a plain line instead of an array; its arguments may be quoted

	phase   phase
	status  Status
	escaped uint8 // inline: bit i set when argument i < 4 is not literally in the buffer
	got     int   // arguments that are whole
	pos     int   // phaseLength: start of the length line; phaseBody: start of the body
	seek    int   // if beyond pos: the line at pos has no end before this offset
	bulk    int   // phaseBody: length of the body
	walkI   int   // the argument that starts (with its length line) at walkAt, for Arg beyond the head
	walkAt  int
	head    [headArgs]Span
	lim     *Limits
	err     *ProtocolError
}

// Reset forgets the request.
func (r *Request) Reset() { *r = Request{} }

// Head returns where argument i < 4 is; the zero Span if it is not (yet) there. For an inline argument with escapes or
// with quotes inside it is the raw text: use Arg to read it.
func (r *Request) Head(i int) Span {
	if i < 0 || i >= headArgs {
		return Span{}
	}
	return r.head[i]
}

// HeadArgs returns how many arguments are wholly in the buffer: Argc once Complete.
func (r *Request) HeadArgs() int { return r.got }

// PendingBulk returns the length of the argument that has begun and is not whole, and where its first byte is (which
// may be the end of the buffer). The length is -1 if there is none.
func (r *Request) PendingBulk() (length int64, off int) {
	if r.phase != phaseBody {
		return -1, 0
	}
	return int64(r.bulk), r.pos
}

// Scan looks for one request at the start of buf. Called again with a longer buf it goes on where it stopped; the whole
// costs O(bytes). The error is a *ProtocolError or nil; after an error every further call returns it again.
//
// The result depends on the bytes alone, never on how they were split into calls.
func (r *Request) Scan(buf []byte, lim *Limits) (Status, error) {
	argc, got, pos, n := r.Argc, r.got, r.pos, -1
	switch r.phase {
	case phaseStart:
		if len(buf) > 3 && buf[0] == '*' && buf[1]-'1' < 9 && buf[2] == '\r' && buf[3] == '\n' &&
			int64(buf[1]-'0') <= lim.maxArgs() {
			argc, pos = int(buf[1]-'0'), 4
			r.Argc, r.phase = argc, phaseLength
			break
		}
		if st, err := r.start(buf, lim); r.phase != phaseLength {
			return st, err
		}
		argc, pos = r.Argc, r.pos
	case phaseBody:
		n = r.bulk
	case phaseDone:
		return r.status, nil
	case phaseFailed:
		return NeedMore, r.err
	}
	quick := int(min(lim.maxBulk(), unauthenticatedBulk)) // lengths up to here are allowed to everybody
	for {
		if n < 0 {
			if got == argc {
				break
			}
			next := 0
			if pos < len(buf) && buf[pos] == '$' {
				n, next = shortLength(buf, pos+1)
			}
			if next == 0 || n > quick {
				r.got, r.pos = got, pos
				var err *ProtocolError
				if n, next, err = r.length(buf, lim); err != nil {
					return r.fail(err)
				}
				if next == 0 {
					r.phase, r.lim = phaseLength, lim
					return NeedMore, nil
				}
			}
			pos = next
		}
		if n > len(buf)-pos-2 || n > math.MaxInt32-pos {
			return r.pending(pos, got, n, lim), nil
		}
		end := pos + n
		if buf[end] != '\r' || buf[end+1] != '\n' {
			return r.fail(errCRLF)
		}
		if got < headArgs {
			r.head[got] = Span{int32(pos), int32(n)}
		}
		got++
		pos, n = end+2, -1
	}
	r.got, r.pos, r.Size = got, pos, pos
	r.phase, r.status = phaseDone, Complete
	return Complete, nil
}

// pending records that the body at pos is not whole.
func (r *Request) pending(pos, got, n int, lim *Limits) Status {
	r.pos, r.got, r.bulk, r.lim, r.phase = pos, got, n, lim, phaseBody
	if n > lim.stream() || n > math.MaxInt32-pos {
		return Large
	}
	return NeedMore
}

// start reads the first line. If that is the count of an array, phaseLength follows and the result says nothing.
func (r *Request) start(buf []byte, lim *Limits) (Status, error) {
	if len(buf) == 0 {
		return NeedMore, nil
	}
	if buf[0] != '*' {
		return r.inline(buf, lim)
	}
	r.lim = lim
	end, err := r.lineEnd(buf, '\r', lim, errBigCount)
	if err != nil {
		return r.fail(err)
	}
	if end < 0 || end+1 >= len(buf) {
		return NeedMore, nil
	}
	v, ok := parseInt(buf[1:end])
	switch {
	case !ok || v > lim.maxArgs():
		return r.fail(errCount)
	case v > unauthenticatedArgs && lim.unauthenticated():
		return r.fail(errUnauthCount)
	case buf[end+1] != '\n':
		return r.fail(errCRLF)
	}
	r.pos = end + 2
	if v <= 0 {
		return r.empty(end + 2), nil
	}
	r.Argc, r.phase = int(v), phaseLength
	return NeedMore, nil
}

// length reads the length line at r.pos; next is 0 if it is not whole.
func (r *Request) length(buf []byte, lim *Limits) (n, next int, err *ProtocolError) {
	if r.pos >= len(buf) {
		return 0, 0, nil
	}
	end, err := r.lineEnd(buf, '\r', lim, errBigLength)
	if err != nil {
		return 0, 0, err
	}
	if end < 0 || end+1 >= len(buf) {
		return 0, 0, nil
	}
	if buf[r.pos] != '$' {
		return 0, 0, errDollar(buf[r.pos])
	}
	v, ok := parseInt(buf[r.pos+1 : end])
	switch {
	case !ok || v < 0 || v > lim.maxBulk() || v > math.MaxInt-2:
		return 0, 0, errLength
	case v > unauthenticatedBulk && lim.unauthenticated():
		return 0, 0, errUnauthLength
	case buf[end+1] != '\n':
		return 0, 0, errCRLF
	}
	return int(v), end + 2, nil
}

// lineEnd finds the end of the line that starts at r.pos: the offset of the byte mark, or -1 if it is not there yet.
// It never looks at a byte twice. A line is too big as soon as its first MaxInline+1 bytes have no end.
func (r *Request) lineEnd(buf []byte, mark byte, lim *Limits, tooBig *ProtocolError) (int, *ProtocolError) {
	from, to := max(r.seek, r.pos), len(buf)
	limit := lim.maxInline() + 1
	if to-r.pos > limit {
		to = r.pos + limit
	}
	if from < to {
		if i := bytes.IndexByte(buf[from:to], mark); i >= 0 {
			r.seek = from + i
			return from + i, nil
		}
	}
	r.seek = to
	if to-r.pos < limit {
		return -1, nil
	}
	if mark == '\n' && buf[to-1] == '\r' { // the longest line may end in CRLF
		if to == len(buf) {
			return -1, nil
		}
		if buf[to] == '\n' {
			return to, nil
		}
	}
	return -1, tooBig
}

func (r *Request) fail(err *ProtocolError) (Status, error) {
	r.phase, r.err = phaseFailed, err
	return NeedMore, err
}

func (r *Request) empty(size int) Status {
	r.Size, r.pos, r.phase, r.status = size, size, phaseDone, Empty
	return Empty
}
