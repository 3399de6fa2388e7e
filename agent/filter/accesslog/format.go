package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

// maxField bounds the fields whose length others choose: names that clients gave themselves, reasons of commands.
const maxField = 512

const timeForm = "2006-01-02T15:04:05.000Z07:00"

// fields is what both forms write, in their order; values are strings or already formatted.
type fields interface {
	str(dst []byte, name, value string) []byte
	bytes(dst []byte, name string, value []byte) []byte
	num(dst []byte, name string, value int64) []byte
}

func appendText(dst []byte, f *Filter, c *resources.Call) []byte {
	dst = append(dst, "time="...)
	dst = filter.Wall(c.Now).UTC().AppendFormat(dst, timeForm)
	dst = appendCall(dst, text{}, f, c)
	return dst
}

func appendJSON(dst []byte, f *Filter, c *resources.Call) []byte {
	dst = append(dst, `{"time":"`...)
	dst = filter.Wall(c.Now).UTC().AppendFormat(dst, timeForm)
	dst = append(dst, '"')
	dst = appendCall(dst, jsonForm{}, f, c)
	return append(dst, '}')
}

func appendCall[T fields](dst []byte, to T, f *Filter, c *resources.Call) []byte {
	dst = to.str(dst, "resource", f.resource)
	dst = to.str(dst, "op", filter.OpName(f.ops, c.Op))
	dst = to.str(dst, "class", c.Class.String())
	dst = to.bytes(dst, "text", f.text.Text(c))
	if s := c.Session; s != nil {
		if id := s.Identity(); id != nil {
			dst = to.str(dst, "caller", id.Caller)
			dst = to.str(dst, "user", id.User)
		}
		dst = to.str(dst, "client", s.Client)
	}
	if ep := c.Endpoint; ep != nil {
		dst = to.str(dst, "group", ep.Group)
		dst = to.str(dst, "endpoint", ep.Address)
	}
	dst = to.str(dst, "outcome", c.Outcome.String())
	dst = to.num(dst, "latency", max(c.Now-c.Start, 0))
	dst = to.num(dst, "tries", int64(c.Attempt)+1)
	dst = to.num(dst, "in", c.ReqBytes)
	dst = to.num(dst, "out", c.RespBytes)
	if c.Fault != nil {
		dst = to.str(dst, "fault", c.Fault.Text)
	}
	return dst
}

// text is the form key=value, with quotes where a value would not stand alone.
type text struct{}

func (text) str(dst []byte, name, value string) []byte { return appendPair(dst, name, value) }

func (text) bytes(dst []byte, name string, value []byte) []byte { return appendPair(dst, name, value) }

func appendPair[S string | []byte](dst []byte, name string, value S) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=')
	if bare(value) {
		return append(dst, value...)
	}
	return appendQuoted(dst, value)
}

func (text) num(dst []byte, name string, value int64) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=')
	if name == "latency" {
		return appendDuration(dst, value)
	}
	return strconv.AppendInt(dst, value, 10)
}

// appendDuration writes ns in the unit that suits it, with three decimals at most: 870ns, 12.5us, 1.204ms, 3.2s.
func appendDuration(dst []byte, ns int64) []byte {
	unit, name := int64(time.Second), "s"
	switch {
	case ns < int64(time.Microsecond):
		unit, name = 1, "ns"
	case ns < int64(time.Millisecond):
		unit, name = int64(time.Microsecond), "us"
	case ns < int64(time.Second):
		unit, name = int64(time.Millisecond), "ms"
	}
	dst = strconv.AppendInt(dst, ns/unit, 10)
	if rest := ns % unit * 1000 / unit; rest > 0 {
		dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, name...)
}

// bare reports whether a value needs no quotes.
func bare[S string | []byte](s S) bool {
	if len(s) > maxField {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

// jsonForm is a JSON object.
type jsonForm struct{}

func (jsonForm) str(dst []byte, name, value string) []byte { return appendMember(dst, name, value) }

func (jsonForm) bytes(dst []byte, name string, value []byte) []byte {
	return appendMember(dst, name, value)
}

func appendMember[S string | []byte](dst []byte, name string, value S) []byte {
	if len(value) == 0 {
		return dst
	}
	return appendQuoted(appendName(dst, name), value)
}

func (jsonForm) num(dst []byte, name string, value int64) []byte {
	if name == "latency" {
		name = "latency_ns"
	}
	return strconv.AppendInt(appendName(dst, name), value, 10)
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes s as a JSON string, which the text form uses too. Bytes that are no UTF-8 become U+FFFD; what
// is over maxField bytes is cut.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	cut := len(s) > maxField
	end := min(len(s), maxField)
	for i := 0; i < end; {
		b := s[i]
		if b < utf8.RuneSelf {
			dst = appendASCII(dst, b)
			i++
			continue
		}
		n := runeLength(s[i:])
		if n == 0 {
			dst = append(dst, "\uFFFD"...)
			i++
			continue
		}
		dst = append(dst, s[i:i+n]...)
		i += n
	}
	if cut {
		dst = append(dst, "..."...)
	}
	return append(dst, '"')
}

func appendASCII(dst []byte, b byte) []byte {
	switch {
	case b == '"' || b == '\\':
		return append(dst, '\\', b)
	case b == '\n':
		return append(dst, '\\', 'n')
	case b == '\r':
		return append(dst, '\\', 'r')
	case b == '\t':
		return append(dst, '\\', 't')
	case b < ' ' || b == 0x7f:
		return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
	}
	return append(dst, b)
}

// runeLength returns the length of the UTF-8 sequence that s starts with, 0 if it starts with none.
func runeLength[S string | []byte](s S) int {
	var buf [utf8.UTFMax]byte
	n := copy(buf[:], s)
	if r, size := utf8.DecodeRune(buf[:n]); r != utf8.RuneError || size > 1 {
		return size
	}
	return 0
}
