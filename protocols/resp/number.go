package resp

import "math"

// parseInt reads a decimal number the way Redis does in its protocol (string2ll): no '+', no leading zeros, no "-0",
// no blanks, nothing beyond int64.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	if len(b) == 1 && b[0] == '0' {
		return 0, true
	}
	neg := b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || b[0] < '1' || b[0] > '9' {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return signed(v, neg)
}

// signed gives a magnitude its sign.
func signed(v uint64, neg bool) (int64, bool) {
	switch {
	case neg && v <= 1<<63:
		return -int64(v), true
	case !neg && v <= math.MaxInt64:
		return int64(v), true
	}
	return 0, false
}

// shortLength reads a length of at most nine digits and its CRLF at buf[p:]. It is the fast path of everything that
// has a length: next is 0 if the line is not whole, longer or not a plain number, and the caller looks closer.
func shortLength(buf []byte, p int) (v, next int) {
	if p < 0 || p+3 > len(buf) {
		return 0, 0
	}
	c := buf[p] - '0'
	if c > 9 {
		return 0, 0
	}
	v = int(c)
	end := p + 9
	p++
	if c != 0 {
		for p < len(buf) && p < end {
			c = buf[p] - '0'
			if c > 9 {
				break
			}
			v = v*10 + int(c)
			p++
		}
	}
	if p+1 < len(buf) && buf[p] == '\r' && buf[p+1] == '\n' {
		return v, p + 2
	}
	return 0, 0
}

// number is parseInt one byte at a time, for lines that arrive in pieces.
type number struct {
	v     uint64
	n     int32 // bytes so far, the sign included
	neg   bool
	bad   bool
	first byte // first digit
}

// add takes the next byte of the line.
func (x *number) add(c byte) {
	x.n++
	if x.n == 1 && c == '-' {
		x.neg = true
		return
	}
	d := uint64(c - '0')
	digits := x.n
	if x.neg {
		digits--
	}
	if digits == 1 {
		x.first = c
	}
	if d > 9 || digits > 19 || (digits == 2 && x.first == '0') {
		x.bad = true
		return
	}
	x.v = x.v*10 + d // 19 digits fit in a uint64
}

// value returns the number that the bytes so far make.
func (x *number) value() (int64, bool) {
	if x.bad || x.n == 0 || (x.neg && (x.n == 1 || x.first == '0')) {
		return 0, false
	}
	return signed(x.v, x.neg)
}
