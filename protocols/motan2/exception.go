package motan2

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// Types of exceptions.
const (
	Framework = 0
	Service   = 1
	Biz       = 2 // the service's own: an answer like any other
)

// Codes of exceptions, as Java Motan has them (MotanErrorMsgConstant.java).
const (
	CodeService     = 10001
	CodeReject      = 10002 // the server is full and did not execute the request
	CodeTimeout     = 10003
	CodeNotFound    = 10101
	CodeTooLong     = 10201
	CodeDecode      = 20003
	CodeBiz         = 30001
	CodeNoProvider  = 404 // the server does not have the service
	CodeNoMethod    = 501 // also: the framework of the server does not have this service
	codeMaxDecimals = 9
)

// Exception is what went wrong, as M_e says it.
type Exception struct {
	Code int
	Type int
	Text string
	// Unsent says that an agent answers for a server that never got the request, in a pair of its own (KeyUnsent): codes
	// do not tell. Others ignore it; an agent before this one may ask another server.
	Unsent bool
	// Leaving says, of what is Unsent, that the agent which answers goes away: nothing more is to be sent on the connection, and
	// who sends on it had best close it. It is meant for that hop alone.
	Leaving bool
}

// The values of KeyUnsent.
const (
	unsent  = "y"
	leaving = "leaving"
)

// Leaves reports whether an answer is an exception with Leaving.
func Leaves(answer *Frame) bool {
	return answer.Status != StatusNormal && string(answer.Meta.Get(KeyUnsent)) == leaving
}

// AppendException appends an answer that is an exception. The id and the serialization of h are used.
func AppendException(dst []byte, h Head, e Exception) []byte {
	h.Type, h.Status = TypeResponse, StatusException
	var room [256]byte
	m := append(room[:0], KeyException+"\n"+`{"errcode":`...)
	m = strconv.AppendInt(m, int64(e.Code), 10)
	m = append(m, `,"errmsg":`...)
	m = appendString(m, e.Text)
	m = append(m, `,"errtype":`...)
	m = append(strconv.AppendInt(m, int64(e.Type), 10), '}')
	switch {
	case e.Leaving:
		m = AppendPair(m, KeyUnsent, leaving)
	case e.Unsent:
		m = AppendPair(m, KeyUnsent, unsent)
	}
	return Append(dst, h, m, nil)
}

// appendString appends s as a JSON string (RFC 8259), without a LF whatever s holds.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// ParseException reads the code and the type of an exception from the value of M_e, without its text. What is not there or
// no number is 0, as for the peers.
func ParseException(v []byte) (code, kind int) {
	p := scanner{b: v}
	if !p.take('{') {
		return 0, 0
	}
	for {
		key, ok := p.str()
		if !ok || !p.take(':') {
			return code, kind
		}
		switch string(key) {
		case "errcode":
			code = p.number()
		case "errtype":
			kind = p.number()
		default:
			p.skip()
		}
		if !p.take(',') {
			return code, kind
		}
	}
}

// scanner reads as much JSON as it takes to step over values.
type scanner struct{ b []byte }

func (p *scanner) take(c byte) bool {
	p.b = bytes.TrimLeft(p.b, " \t\r\n")
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

// str reads a string and returns it with its escapes.
func (p *scanner) str() ([]byte, bool) {
	if !p.take('"') {
		return nil, false
	}
	for i := 0; i < len(p.b); i++ {
		switch p.b[i] {
		case '\\':
			i++
		case '"':
			s := p.b[:i]
			p.b = p.b[i+1:]
			return s, true
		}
	}
	p.b = nil
	return nil, false
}

// number reads an integer; 0 when something else is there, which it steps over.
func (p *scanner) number() int {
	p.b = bytes.TrimLeft(p.b, " \t\r\n")
	n, i, sign := 0, 0, 1
	if i < len(p.b) && p.b[i] == '-' {
		sign, i = -1, 1
	}
	from := i
	for i < len(p.b) && p.b[i] >= '0' && p.b[i] <= '9' && i-from < codeMaxDecimals {
		n = 10*n + int(p.b[i]-'0')
		i++
	}
	if i == from {
		p.skip()
		return 0
	}
	p.b = p.b[i:]
	return sign * n
}

// skip steps over one value, to the comma or brace behind it.
func (p *scanner) skip() {
	for depth := 0; len(p.b) > 0; {
		switch p.b[0] {
		case '"':
			p.str()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
		case ',':
			if depth == 0 {
				return
			}
		}
		p.b = p.b[1:]
	}
}
