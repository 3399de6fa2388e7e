package resp

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxReply is the largest reply, in bytes, that a Reader takes.
const MaxReply = 64 << 20

// maxDepth is how deep aggregates may nest.
const maxDepth = 16

// ErrProtocol is wrapped by every error about bytes that are no RESP reply.
var ErrProtocol = errors.New("not a RESP reply")

// errMore says that the buffer ends inside the reply.
var errMore = errors.New("incomplete reply")

// Value is one reply.
type Value struct {
	Kind byte    // the type byte: + - : $ * and RESP3's % ~ > _ # , ( = !
	Null bool    // $-1, *-1 or _
	Int  int64   // of ':' and '#'; for aggregates the number of elements
	Str  []byte  // of every scalar: the text without type byte, length and CRLF
	Elem []Value // of aggregates; a map's keys and values alternate
}

// IsError reports whether the value is an error reply.
func (v *Value) IsError() bool { return v.Kind == '-' || v.Kind == '!' }

// ErrorWord returns the first word of an error reply: "ERR", "MOVED", "UNAVAILABLE".
func (v *Value) ErrorWord() string {
	word, _, _ := strings.Cut(string(v.Str), " ")
	return word
}

// String returns the value in a readable form for messages.
func (v Value) String() string {
	switch {
	case v.Null:
		return "(null)"
	case v.Kind == '*' || v.Kind == '~' || v.Kind == '>' || v.Kind == '%':
		parts := make([]string, len(v.Elem))
		for i := range v.Elem {
			parts[i] = v.Elem[i].String()
		}
		return "[" + strings.Join(parts, " ") + "]"
	case v.IsError():
		return "(error) " + string(v.Str)
	case v.Kind == '$' || v.Kind == '=':
		return fmt.Sprintf("%q", v.Str)
	}
	return string(v.Str)
}

// Reader decodes replies from a byte stream.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int // unread bytes are buf[r:w]
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, buf: make([]byte, 16<<10)} }

// Reset makes r read another stream with the same buffer.
func (r *Reader) Reset(src io.Reader) { r.src, r.r, r.w = src, 0, 0 }

// Buffered returns the number of bytes that were received and not yet returned.
func (r *Reader) Buffered() int { return r.w - r.r }

// Next returns the next reply. It is valid until the following call. The error is io.EOF only between replies, and
// io.ErrUnexpectedEOF inside one.
func (r *Reader) Next() (Value, error) {
	for {
		v, n, need, err := parse(r.buf[r.r:r.w], 0)
		if err == nil {
			r.r += n
			return v, nil
		}
		if err != errMore {
			return Value{}, err
		}
		if err := r.fill(need); err != nil {
			return Value{}, err
		}
	}
}

// fill reads until at least need bytes are buffered or, if need is not known (0), until there are some more.
func (r *Reader) fill(need int) error {
	if need > MaxReply || r.w-r.r > MaxReply {
		return fmt.Errorf("%w: larger than %d bytes", ErrProtocol, MaxReply)
	}
	for first := true; first || r.w-r.r < need; first = false {
		if r.r > 0 {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		if r.w == len(r.buf) {
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		if n == 0 && err != nil {
			if err == io.EOF && r.w > r.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// Parse decodes the reply at the start of b and returns its length; n is 0 when b ends inside the reply.
func Parse(b []byte) (v Value, n int, err error) {
	v, n, _, err = parse(b, 0)
	if err == errMore {
		return Value{}, 0, nil
	}
	return v, n, err
}

// parse decodes the reply at the start of b. When b is too short it returns errMore with the number of bytes that are
// needed at least, 0 if that cannot be known.
func parse(b []byte, depth int) (v Value, n, need int, err error) {
	if depth > maxDepth {
		return v, 0, 0, fmt.Errorf("%w: nested deeper than %d", ErrProtocol, maxDepth)
	}
	line, n, err := parseLine(b)
	if err != nil {
		return v, 0, 0, err
	}
	v.Kind, v.Str = b[0], line
	switch v.Kind {
	case '+', '-', ',', '(':
		return v, n, 0, nil
	case '_':
		v.Null = true
		return v, n, 0, nil
	case '#':
		if len(line) != 1 || line[0] != 't' && line[0] != 'f' {
			return v, 0, 0, fmt.Errorf("%w: boolean %q", ErrProtocol, line)
		}
		if line[0] == 't' {
			v.Int = 1
		}
		return v, n, 0, nil
	}
	if v.Int, err = parseInt(line); err != nil {
		return v, 0, 0, err
	}
	switch v.Kind {
	case ':':
		return v, n, 0, nil
	case '$', '=', '!':
		return parseBulk(b, v, n)
	case '*', '~', '>', '%':
		return parseAggregate(b, v, n, depth)
	}
	return v, 0, 0, fmt.Errorf("%w: type byte %q", ErrProtocol, v.Kind)
}

// parseLine returns what stands between the type byte and CRLF, and the length of all of it.
func parseLine(b []byte) (line []byte, n int, err error) {
	for i := 1; i < len(b); i++ {
		if b[i] == '\n' {
			if b[i-1] != '\r' || i < 2 {
				return nil, 0, fmt.Errorf("%w: line ends without CR", ErrProtocol)
			}
			return b[1 : i-1], i + 1, nil
		}
	}
	if len(b) > 64<<10 {
		return nil, 0, fmt.Errorf("%w: line without end", ErrProtocol)
	}
	return nil, 0, errMore
}

func parseBulk(b []byte, v Value, n int) (Value, int, int, error) {
	if v.Int == -1 && v.Kind == '$' {
		v.Null, v.Str = true, nil
		return v, n, 0, nil
	}
	if v.Int < 0 || v.Int > MaxReply {
		return v, 0, 0, fmt.Errorf("%w: bulk length %d", ErrProtocol, v.Int)
	}
	end := n + int(v.Int)
	if len(b) < end+2 {
		return v, 0, end + 2, errMore
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return v, 0, 0, fmt.Errorf("%w: bulk of %d bytes is not followed by CRLF", ErrProtocol, v.Int)
	}
	v.Str = b[n:end]
	return v, end + 2, 0, nil
}

func parseAggregate(b []byte, v Value, n, depth int) (Value, int, int, error) {
	v.Str = nil
	if v.Int == -1 && v.Kind == '*' {
		v.Null = true
		return v, n, 0, nil
	}
	count := v.Int
	if count < 0 || count > MaxReply/3 {
		return v, 0, 0, fmt.Errorf("%w: %d elements", ErrProtocol, count)
	}
	if v.Kind == '%' {
		count *= 2
	}
	for i := int64(0); i < count; i++ {
		e, m, need, err := parse(b[n:], depth+1)
		if err != nil {
			if need > 0 {
				need += n
			}
			return v, 0, need, err
		}
		v.Elem = append(v.Elem, e)
		n += m
	}
	return v, n, 0, nil
}

func parseInt(b []byte) (int64, error) {
	neg := false
	s := b
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 {
		return 0, fmt.Errorf("%w: number %q", ErrProtocol, b)
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: number %q", ErrProtocol, b)
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, nil
}
