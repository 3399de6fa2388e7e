package sql

import "bytes"

// digits takes x'..' or b'..'. Anything else between the quotes is an error to servers.
func (l *lexer) digits(k class) {
	i := l.pos + 2
	for i < len(l.text) && classes[l.text[i]].is(k) && (k == cHex || l.text[i] <= '1') {
		i++
	}
	if l.at(i) != '\'' {
		l.broken = true
		l.string(l.pos + 1)
		return
	}
	l.literal(i + 1)
}

func (l *lexer) literal(end int) { l.set(tLit, end) }

// number takes a number, or a name that starts with a digit: 12, 0x1F, 1.5e-3, 1e5, 1a.
func (l *lexer) number() {
	i := l.pos
	if l.text[i] == '0' {
		if end := l.prefixed(i + 1); end > 0 {
			l.literal(end)
			return
		}
	}
	for classes[l.at(i)].is(cDigit) {
		i++
	}
	switch c := l.at(i); {
	case c == '.':
		l.fraction(i + 1)
	case !l.inName(i):
		l.literal(i)
	default:
		if end := l.exponent(i); end > 0 {
			l.literal(end)
			return
		}
		l.word()
	}
}

// prefixed returns the end of the digits of 0x1F or 0b01 whose second byte is at i, 0 where it is a name. To servers
// 0X1F is a name; taken as a number it stays one when the normal form writes it in lower case.
func (l *lexer) prefixed(i int) int {
	j := i + 1
	switch l.at(i) | 0x20 {
	case 'x':
		for classes[l.at(j)].is(cHex) {
			j++
		}
	case 'b':
		for c := l.at(j); c == '0' || c == '1'; c = l.at(j) {
			j++
		}
	default:
		return 0
	}
	if j == i+1 || l.inName(j) {
		return 0
	}
	return j
}

// exponent returns the end of e5, E+5 or e-5 at i, 0 where there is none.
func (l *lexer) exponent(i int) int {
	if l.at(i)|0x20 != 'e' {
		return 0
	}
	i++
	if c := l.at(i); c == '+' || c == '-' {
		i++
	}
	if !classes[l.at(i)].is(cDigit) {
		return 0
	}
	for classes[l.at(i)].is(cDigit) {
		i++
	}
	return i
}

// fraction takes a number from the byte behind its point. Old servers throw away 1.e and what belongs to it when no
// digit follows, so that the tokens around it meet: nothing to build on.
func (l *lexer) fraction(i int) {
	for classes[l.at(i)].is(cDigit) {
		i++
	}
	if end := l.exponent(i); end > 0 {
		i = end
	} else if l.at(i)|0x20 == 'e' {
		l.broken = true
	}
	l.literal(i)
}

// string takes the token that ends with the string whose quote is at i.
func (l *lexer) string(i int) {
	end, _ := l.stringFrom(i)
	l.literal(end)
}

// stringFrom finds the end of the string that starts at i, and whether there is one.
func (l *lexer) stringFrom(i int) (end int, closed bool) {
	start := i
	q := l.text[i]
	for i++; ; {
		for i < len(l.text) && !classes[l.text[i]].is(cString) {
			i++
		}
		if i >= len(l.text) {
			l.broken = true
			return len(l.text), false
		}
		switch c := l.text[i]; {
		case c >= 0x80:
			i += l.d.charLen(l.text, i)
		case c == '\\' && l.d&NoBackslashEscapes == 0:
			i = l.escaped(i + 1)
		case c != q:
			i++
		case l.at(i+1) == q:
			i += 2
		default:
			// A server that skips an executable comment looks for its end inside strings too.
			if l.exec > 0 && bytes.Contains(l.text[start:i], []byte("*/")) {
				l.broken = true
			}
			return i + 1, true
		}
	}
}

// escaped returns where the text goes on after a backslash in front of i: the character at i is taken as it is.
func (l *lexer) escaped(i int) int {
	if i >= len(l.text) {
		return i
	}
	return i + l.d.charLen(l.text, i)
}
