package resp

import "bytes"

// inline reads a request that is a plain line. Redis ends it at LF, with or without a CR before it.
func (r *Request) inline(buf []byte, lim *Limits) (Status, error) {
	r.Inline = true
	end, err := r.lineEnd(buf, '\n', lim, errBigInline)
	if err != nil {
		return r.fail(err)
	}
	if end < 0 {
		return NeedMore, nil
	}
	size := end + 1
	if end > 0 && buf[end-1] == '\r' {
		end--
	}
	line := buf[:end]
	if bytes.IndexByte(line, 0) >= 0 {
		return r.fail(errNUL)
	}
	argc := 0
	for at := 0; ; argc++ {
		t := nextToken(line, at)
		if t.state == tokenBad {
			return r.fail(errQuotes)
		}
		if t.state == tokenNone {
			break
		}
		if argc < headArgs {
			r.head[argc] = Span{int32(t.from), int32(t.to - t.from)}
			if t.escaped {
				r.escaped |= 1 << argc
			}
		}
		at = t.next
	}
	if argc == 0 {
		return r.empty(size), nil
	}
	r.Argc, r.got = argc, argc
	r.Size, r.pos, r.phase, r.status = size, size, phaseDone, Complete
	return Complete, nil
}

// inlineLine returns the line of a complete inline request without its end.
func (r *Request) inlineLine(buf []byte) []byte {
	end := r.Size - 1
	if end > 0 && buf[end-1] == '\r' {
		end--
	}
	return buf[:end]
}

type tokenState uint8

const (
	tokenNone tokenState = iota // no more arguments
	tokenOK
	tokenBad // quotes do not balance
)

// token is one argument of an inline request: line[from:to] is its value or, when escaped, its raw text.
type token struct {
	from, to, next int
	escaped        bool
	state          tokenState
}

// nextToken finds the argument at or after line[at:], with the rules of Redis' sdssplitargs. A closing quote must be
// followed by a blank or the end. Quotes may start inside an argument: a"b" is ab.
func nextToken(line []byte, at int) token {
	for at < len(line) && isSpace(line[at]) {
		at++
	}
	if at == len(line) {
		return token{state: tokenNone}
	}
	t := token{from: at, state: tokenOK}
	p := at
	for p < len(line) {
		switch c := line[p]; c {
		case ' ', '\n', '\r', '\t':
			t.to, t.next = p, p
			return t
		case '"', '\'':
			end, escaped := closingQuote(line, p)
			if end < 0 || (end+1 < len(line) && !isSpace(line[end+1])) {
				return token{state: tokenBad}
			}
			if p == t.from && !escaped {
				t.from, t.to, t.next = p+1, end, end+1
				return t
			}
			t.to, t.next, t.escaped = end+1, end+1, true
			return t
		}
		p++
	}
	t.to, t.next = p, p
	return t
}

// closingQuote finds the quote that closes the one at line[open], -1 if there is none, and whether there are
// backslash sequences between them that stand for other bytes.
func closingQuote(line []byte, open int) (end int, escaped bool) {
	quote := line[open]
	for p := open + 1; p < len(line); p++ {
		switch {
		case line[p] == quote:
			return p, escaped
		case line[p] == '\\' && p+1 < len(line) && (quote == '"' || line[p+1] == '\''):
			escaped = true
			p++
		}
	}
	return -1, escaped
}

// appendToken appends the value of an escaped token's raw text.
func appendToken(dst, raw []byte) []byte {
	p := 0
	for p < len(raw) && raw[p] != '"' && raw[p] != '\'' {
		p++
	}
	dst = append(dst, raw[:p]...)
	if p == len(raw) {
		return dst
	}
	quote, body := raw[p], raw[p+1:len(raw)-1]
	for i := 0; i < len(body); i++ {
		c := body[i]
		if c != '\\' || i+1 == len(body) || (quote == '\'' && body[i+1] != '\'') {
			dst = append(dst, c)
			continue
		}
		if quote == '"' && body[i+1] == 'x' && i+3 < len(body) && isHex(body[i+2]) && isHex(body[i+3]) {
			dst = append(dst, unhex(body[i+2])<<4|unhex(body[i+3]))
			i += 3
			continue
		}
		i++
		dst = append(dst, unescape(body[i], quote))
	}
	return dst
}

// unescape returns the byte that a backslash and c stand for.
func unescape(c, quote byte) byte {
	if quote == '"' {
		switch c {
		case 'n':
			return '\n'
		case 'r':
			return '\r'
		case 't':
			return '\t'
		case 'b':
			return '\b'
		case 'a':
			return '\a'
		}
	}
	return c
}

// isSpace is C's isspace in the C locale.
func isSpace(c byte) bool { return c == ' ' || (c >= '\t' && c <= '\r') }

func isHex(c byte) bool {
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}
