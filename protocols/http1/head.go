package http1

import "bytes"

// Limits of a head.
const (
	// DefaultMax is the longest head, in bytes.
	DefaultMax = 64 << 10
	// MaxFields is how many fields a head may have.
	MaxFields = 256
	// maxNamed is how many options Connection may have.
	maxNamed = 16
)

// Error says why bytes are no message that is taken. Values are never changed.
type Error struct {
	Status int    // what a client that sent them is told
	What   string // in words
}

func (e *Error) Error() string { return "http1: " + e.What }

var (
	errLine      = &Error{400, "the first line is not METHOD TARGET HTTP/1.1"}
	errMethod    = &Error{400, "the method is no token"}
	errTarget    = &Error{400, "the request's target has a character that it must not have"}
	errForm      = &Error{400, "the request's target is neither a path nor a URL with http://"}
	errVersion   = &Error{505, "the version is not HTTP/1.0 or HTTP/1.1"}
	errBareLF    = &Error{400, "a line ends without CR"}
	errFold      = &Error{400, "a line of the head is folded"}
	errName      = &Error{400, "the name of a field is no token that a colon follows"}
	errValue     = &Error{400, "the value of a field has a control character"}
	errHost      = &Error{400, "the request does not have exactly one Host that is one"}
	errLength    = &Error{400, "Content-Length is not one number"}
	errBoth      = &Error{400, "there are both Content-Length and Transfer-Encoding"}
	errCoding    = &Error{501, "Transfer-Encoding is not chunked alone"}
	errCoding10  = &Error{400, "HTTP/1.0 has no Transfer-Encoding"}
	errFields    = &Error{431, "the head has more than 256 fields"}
	errNamed     = &Error{400, "Connection has more than 16 options"}
	errLarge     = &Error{431, "the head is too long"}
	errStatus    = &Error{400, "the first line is not HTTP/1.1 STATUS REASON"}
	errChunk     = &Error{400, "the size of a chunk is no hexadecimal number"}
	errChunkEnd  = &Error{400, "a chunk does not end where its size says"}
	errChunkLine = &Error{400, "the line before a chunk is too long"}
	errTrailer   = &Error{431, "the trailer is too long"}
)

// Field is one line of a head.
type Field struct {
	Name, Value []byte // the value without the white space around it
	Known       Known
	Start, End  int // where the line is in the head, its CRLF included
}

// Head is what requests and answers have in common.
type Head struct {
	Whole     []byte // all of it, the first line and the empty last one included
	Fields    []Field
	Size      int      // in bytes
	Minor     int      // the version is HTTP/1.Minor
	Close     bool     // Connection says close
	KeepAlive bool     // Connection says keep-alive
	Named     [][]byte // the other options of Connection: names of fields that are for the next hop alone
	Upgrade   []byte   // what Upgrade asks for, when Connection says so

	length  int64 // Content-Length; -1: none
	chunked bool
	host    []byte
	hosts   int
	upgrade bool
}

func (h *Head) reset() {
	*h = Head{Fields: h.Fields[:0], Named: h.Named[:0], length: -1}
}

// waits reports that a head is not whole yet, of which the first from bytes were not either, or why it never will be.
// It is what makes a head that comes byte by byte cheap.
func waits(b []byte, from, limit int) (bool, error) {
	if from <= 0 {
		return false, nil
	}
	if bytes.Contains(b[max(0, from-3):], crlfcrlf) {
		return false, nil
	}
	for i := from; ; {
		nl := bytes.IndexByte(b[i:], '\n')
		if nl < 0 {
			break
		}
		if i += nl + 1; i < 2 || b[i-2] != '\r' {
			return false, errBareLF
		}
	}
	if len(b) > limit {
		return false, errLarge
	}
	return true, nil
}

var crlfcrlf = []byte("\r\n\r\n")

// line returns the line at the start of b without its CRLF, and its length with it; 0 when it is not whole.
func line(b []byte) ([]byte, int, error) {
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 {
		return nil, 0, nil
	}
	if nl == 0 || b[nl-1] != '\r' {
		return nil, 0, errBareLF
	}
	return b[:nl-1], nl + 1, nil
}

// scan reads the fields from off on. It reports false when they are not whole.
func (h *Head) scan(b []byte, off, limit int) (bool, error) {
	for {
		l, n, err := line(b[off:])
		switch {
		case err != nil:
			return false, err
		case n == 0 && len(b) > limit, off+n > limit:
			return false, errLarge
		case n == 0:
			return false, nil
		case n == 2:
			h.Size, h.Whole = off+2, b[:off+2]
			return true, nil
		case len(h.Fields) == MaxFields:
			return false, errFields
		}
		name, value, err := split(l)
		if err != nil {
			return false, err
		}
		f := Field{Name: name, Value: value, Known: known(name), Start: off, End: off + n}
		h.Fields = append(h.Fields, f)
		if f.Known != Other {
			if err := h.note(&f); err != nil {
				return false, err
			}
		}
		off += n
	}
}

// split cuts a line into a field's name and value.
func split(l []byte) (name, value []byte, err error) {
	if l[0] == ' ' || l[0] == '\t' {
		return nil, nil, errFold
	}
	n := 0
	for n < len(l) && chars[l[n]]&isToken != 0 {
		n++
	}
	if n == 0 || n == len(l) || l[n] != ':' {
		return nil, nil, errName
	}
	if value = trim(l[n+1:]); !all(value, isValue) {
		return nil, nil, errValue
	}
	return l[:n], value, nil
}

// note takes up what a field says about the message.
func (h *Head) note(f *Field) error {
	switch f.Known {
	case Host:
		h.host = f.Value
		h.hosts++
	case ContentLength:
		n, ok := number(f.Value)
		if !ok || h.length >= 0 {
			return errLength
		}
		h.length = n
	case TransferEncoding:
		if h.chunked || !EqualFold(f.Value, "chunked") {
			return errCoding
		}
		h.chunked = true
	case Connection:
		return h.connection(f.Value)
	case Upgrade:
		h.Upgrade = f.Value
	}
	return nil
}

// connection reads the options of Connection.
func (h *Head) connection(list []byte) error {
	for len(list) > 0 {
		one, rest, _ := bytes.Cut(list, comma)
		list = rest
		switch one = trim(one); {
		case len(one) == 0:
		case EqualFold(one, "close"):
			h.Close = true
		case EqualFold(one, "keep-alive"):
			h.KeepAlive = true
		case EqualFold(one, "upgrade"):
			h.upgrade = true
		case len(h.Named) == maxNamed:
			return errNamed
		default:
			h.Named = append(h.Named, one)
		}
	}
	return nil
}

var comma = []byte{','}

// framed checks what the head says about the body.
func (h *Head) framed() error {
	if !h.upgrade {
		h.Upgrade = nil
	}
	switch {
	case h.chunked && h.length >= 0:
		return errBoth
	case h.chunked && h.Minor == 0:
		return errCoding10
	}
	return nil
}

// Chunked reports whether the head has a Transfer-Encoding, which then is chunked.
func (h *Head) Chunked() bool { return h.chunked }

// Hop reports whether a field is for the next hop alone and not passed on.
func (h *Head) Hop(f *Field) bool {
	if f.Known >= firstHop {
		return true
	}
	if f.Known != Other {
		return false // a client cannot make the agent drop what others rely on
	}
	for _, n := range h.Named {
		if foldEqual(n, f.Name) {
			return true
		}
	}
	return false
}

// Get returns the value of the first field of a name, which is in lower case; nil when there is none.
func (h *Head) Get(name string) []byte {
	for i := range h.Fields {
		if EqualFold(h.Fields[i].Name, name) {
			return h.Fields[i].Value
		}
	}
	return nil
}

// Last returns the value of the last field that is known as k; nil when there is none.
func (h *Head) Last(k Known) []byte {
	for i := len(h.Fields) - 1; i >= 0; i-- {
		if h.Fields[i].Known == k {
			return h.Fields[i].Value
		}
	}
	return nil
}

// number reads digits, at most 18.
func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// version reads HTTP/1.0 or HTTP/1.1.
func version(b []byte) (minor int, ok bool) {
	if string(b) == "HTTP/1.1" {
		return 1, true
	}
	return 0, string(b) == "HTTP/1.0"
}
