package resp

import (
	"bytes"
	"math"
)

const (
	maxDepth     = 128
	maxReplyBulk = 1 << 40            // bytes; far above what a Redis can be configured to hold in a string
	maxCount     = math.MaxUint32 - 1 // elements of an aggregate (a map's pairs count twice, one is kept for attributes)
	maxIntDigits = 19
)

// ReplyScanner finds where replies of an upstream end, RESP2 and RESP3, without building them: it passes over bodies
// by their length and keeps a count per nesting level. Bytes may be split anywhere. The zero value is ready.
//
// It accepts what the RESP3 specification allows except streamed types, and is stricter than most clients: lengths and
// counts have no sign (but "$-1" and "*-1"), no leading zeros, every element ends in CRLF, lines hold neither CR nor
// LF, a push never stands inside another reply.
type ReplyScanner struct {
	phase replyPhase
	kind  byte // first type byte of this reply that is not an attribute's
	elem  byte // type of the current element
	depth uint8
	roots uint8 // the lowest levels that are attributes before the reply itself
	body  int64 // bytes of the current body still to come
	size  number
	chars uint8 // bytes of the current line of text so far, counted up to 2
	digit uint8 // digits among them, counted up to maxIntDigits+1
	err   *ReplyError
	// stack[i] is how many values the aggregate at level i still owes, the one being read included. An attribute is a
	// level that owes its pairs and the value that it belongs to.
	stack [maxDepth]uint32
}

type replyPhase uint8

const (
	replyType   replyPhase = iota // at a type byte
	replyLength                   // in the length line of a body or an aggregate
	replyText                     // in a line of text
	replyLineLF                   // behind the CR of a line
	replyBody
	replyBodyCR
	replyBodyLF
	replyDone
	replyFailed
)

// Reset forgets the current reply.
func (s *ReplyScanner) Reset() {
	s.phase, s.kind, s.depth, s.roots, s.body, s.err = replyType, 0, 0, 0, 0, nil
}

// Kind returns the type byte of the reply being scanned, or of the last one when it is done: the first that does not
// belong to an attribute. 0 as long as it is not known.
func (s *ReplyScanner) Kind() byte { return s.kind }

// IsPush tells whether the reply is a push, which answers no request.
func (s *ReplyScanner) IsPush() bool { return s.kind == '>' }

// BulkLeft returns how many bytes of the current string are still to come, without its CRLF; 0 outside a string.
func (s *ReplyScanner) BulkLeft() int64 {
	if s.phase != replyBody {
		return 0
	}
	return s.body
}

// Scan takes bytes of one reply. n of them belong to it: all of buf, unless the reply is done and ends there, or err (a
// *ReplyError) says that the bytes are no reply; every further call returns that error again. The call after a done
// one starts the next reply.
func (s *ReplyScanner) Scan(buf []byte) (n int, done bool, err error) {
	if s.phase == replyDone {
		s.Reset()
	}
	for n < len(buf) {
		switch s.phase {
		case replyType:
			if k := ScanSimple(buf[n:]); k > 0 {
				if s.kind == 0 && s.atRoot() {
					s.kind = buf[n]
				}
				n += k
				s.element()
			} else {
				s.begin(buf[n])
				n++
			}
		case replyBody:
			k := int(min(s.body, int64(len(buf)-n)))
			s.body -= int64(k)
			n += k
			if s.body == 0 {
				s.phase = replyBodyCR
			}
		case replyText:
			n += s.text(buf[n:])
		default:
			s.step(buf[n])
			n++
		}
		if s.phase >= replyDone {
			if s.phase == replyFailed {
				return n, false, s.err
			}
			return n, true, nil
		}
	}
	if s.phase == replyFailed {
		return 0, false, s.err
	}
	return n, false, nil
}

// atRoot tells whether the next value is the reply itself, not a part of it.
func (s *ReplyScanner) atRoot() bool {
	return s.depth == s.roots && (s.depth == 0 || s.stack[s.depth-1] == 1)
}

// begin takes a type byte.
func (s *ReplyScanner) begin(c byte) {
	if s.kind == 0 && c != '|' && s.atRoot() {
		s.kind = c
	} else if c == '>' {
		s.fail(errReplyPush)
		return
	}
	s.elem, s.size, s.chars, s.digit = c, number{}, 0, 0
	switch c {
	case '$', '!', '=', '*', '%', '~', '>', '|':
		s.phase = replyLength
	case '+', '-', ':', '_', ',', '#', '(':
		s.phase = replyText
	case '.', ';':
		s.fail(errReplyStreamed)
	default:
		s.fail(errReplyType)
	}
}

// text takes bytes of a line of text, its CR included, and returns how many.
func (s *ReplyScanner) text(buf []byte) int {
	if s.elem != '+' && s.elem != '-' && s.elem != ',' {
		s.char(buf[0])
		return 1
	}
	n := bytes.IndexByte(buf, '\r')
	if n < 0 {
		n = len(buf)
	}
	if lf := bytes.IndexByte(buf[:n], '\n'); lf >= 0 {
		s.fail(errReplyCRLF)
		return lf
	}
	if n > 0 {
		s.chars = 1
	}
	if n == len(buf) {
		return n
	}
	s.char('\r')
	return n + 1
}

// char takes one byte of a line of text.
func (s *ReplyScanner) char(c byte) {
	if c == '\r' {
		s.endText()
		return
	}
	s.chars = min(s.chars+1, 2)
	switch s.elem {
	case ':', '(':
		switch {
		case c-'0' <= 9:
			s.digit = min(s.digit+1, maxIntDigits+1)
			if s.elem == ':' && s.digit > maxIntDigits {
				s.fail(errReplyInt)
			}
		case s.chars > 1 || (c != '-' && c != '+'):
			s.fail(errReplyInt)
		}
	case '#':
		if s.chars > 1 || (c != 't' && c != 'f') {
			s.fail(errReplyBool)
		}
	case '_':
		s.fail(errReplyNull)
	}
}

// endText judges a line of text at its CR.
func (s *ReplyScanner) endText() {
	s.phase = replyLineLF
	switch {
	case (s.elem == ':' || s.elem == '(') && s.digit == 0:
		s.fail(errReplyInt)
	case s.elem == '#' && s.chars == 0:
		s.fail(errReplyBool)
	case s.elem == ',' && s.chars == 0:
		s.fail(errReplyDouble)
	}
}

// step takes one byte of a length line or of a line end.
func (s *ReplyScanner) step(c byte) {
	switch s.phase {
	case replyLength:
		switch {
		case c == '\r':
			s.phase = replyLineLF
		case c == '?' && s.size.n == 0:
			s.fail(errReplyStreamed)
		default:
			if s.size.add(c); s.size.bad {
				s.badLength()
			}
		}
	case replyBodyCR:
		if s.phase = replyBodyLF; c != '\r' {
			s.fail(errReplyCRLF)
		}
	case replyBodyLF:
		if c != '\n' {
			s.fail(errReplyCRLF)
			return
		}
		s.element()
	case replyLineLF:
		if c != '\n' {
			s.fail(errReplyCRLF)
			return
		}
		switch s.elem {
		case '$', '!', '=':
			s.length()
		case '*', '%', '~', '>', '|':
			s.count()
		default:
			s.element()
		}
	}
}

// length begins a body.
func (s *ReplyScanner) length() {
	v, ok := s.size.value()
	switch {
	case ok && v == -1 && s.elem == '$':
		s.element()
	case !ok || v < 0 || v > maxReplyBulk || (s.elem == '=' && v < 4):
		s.badLength()
	default:
		s.body, s.phase = v, replyBody
		if v == 0 {
			s.phase = replyBodyCR
		}
	}
}

// count begins an aggregate.
func (s *ReplyScanner) count() {
	v, ok := s.size.value()
	if ok && v == -1 && s.elem == '*' {
		s.element()
		return
	}
	if !ok || v < 0 || v > maxCount || ((s.elem == '%' || s.elem == '|') && v > maxCount/2) {
		s.badLength()
		return
	}
	owed := uint32(v)
	switch s.elem {
	case '%':
		owed *= 2
	case '|':
		owed = owed*2 + 1
	}
	if owed == 0 {
		s.element()
		return
	}
	if s.depth == maxDepth {
		s.fail(errReplyDepth)
		return
	}
	if s.elem == '|' && s.kind == 0 && s.atRoot() {
		s.roots++
	}
	s.stack[s.depth] = owed
	s.depth++
	s.phase = replyType
}

// element ends a value, and with it the aggregates whose last value it was.
func (s *ReplyScanner) element() {
	s.phase = replyType
	for s.depth > 0 {
		top := &s.stack[s.depth-1]
		if *top--; *top > 0 {
			return
		}
		s.depth--
	}
	s.phase = replyDone
}

func (s *ReplyScanner) badLength() {
	if s.elem == '$' || s.elem == '!' || s.elem == '=' {
		s.fail(errReplyLength)
	} else {
		s.fail(errReplyCount)
	}
}

func (s *ReplyScanner) fail(err *ReplyError) { s.phase, s.err = replyFailed, err }
