package sql

import (
	"bytes"
	"unicode/utf8"
)

// lexer cuts a text into tokens. Comments and white space are none; an executable comment's brackets are tokens, and so
// is all between them.
type lexer struct {
	text []byte
	d    Dialect
	pos  int
	tok  token
	// nameEnd is where the last token ended if it was a name, else -1: a dot right there belongs to it.
	nameEnd int
	dot     bool // the last token was a dot: a name follows, whatever it looks like
	exec    int  // executable comments that are open
	broken  bool
	// While hints is set, comments are looked at; hint is the body of the first that is one.
	hints bool
	hint  Span
}

// newLexer makes a lexer. Here as elsewhere in this package the pieces of a Scan are made as values: what is stored
// through a pointer would move the caller's Statement and text to the heap.
func newLexer(text []byte, d Dialect) lexer { return lexer{text: text, d: d, nameEnd: -1} }

// next puts the next token into tok.
func (l *lexer) next() {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch k := classes[c]; {
		case k.is(cSpace) || c == 0xA0 && l.d&SingleByte != 0:
			l.pos++
			continue
		case k.is(cDigit) && !l.dot:
			l.number()
		case k.is(cIdent):
			l.word()
		case k.is(cOp):
			if l.comment(c) {
				continue
			}
			l.operator(c)
		default:
			if !l.punctuation(c) {
				continue
			}
		}
		l.dot = l.tok.kind == tDot
		return
	}
	if l.exec > 0 {
		l.broken = true
	}
	l.tok.kind, l.tok.kw, l.tok.attr = tEOF, kwNone, 0
	l.tok.start, l.tok.end = l.pos, l.pos
}

// set makes the token text[pos:end] of kind k.
func (l *lexer) set(k tokKind, end int) {
	l.tok.kind, l.tok.kw, l.tok.attr = k, kwNone, 0
	l.tok.start, l.tok.end = l.pos, end
	l.pos, l.nameEnd = end, -1
}

// setName makes the token text[pos:end] of kind k with the name text[from:to].
func (l *lexer) setName(k tokKind, end, from, to int, fold bool) {
	l.set(k, end)
	l.tok.from, l.tok.to, l.tok.fold = from, to, fold
	l.tok.quote, l.tok.twice = 0, false
}

// at returns the byte at i, 0 behind the end.
func (l *lexer) at(i int) byte {
	if i < len(l.text) {
		return l.text[i]
	}
	return 0
}

// inName tells whether the byte at i may be part of a name.
func (l *lexer) inName(i int) bool {
	c := l.at(i)
	return classes[c].is(cIdent) && !(c == 0xA0 && l.d&SingleByte != 0)
}

// nameFrom returns where the name that starts at i ends, and whether it is of ASCII bytes alone.
func (l *lexer) nameFrom(i int) (end int, ascii bool) {
	for i < len(l.text) && classes[l.text[i]].is(cASCII) {
		i++
	}
	if i == len(l.text) || l.text[i] < 0x80 {
		return i, true
	}
	for i < len(l.text) && classes[l.text[i]].is(cIdent) {
		if l.text[i] == 0xA0 && l.d&SingleByte != 0 {
			break
		}
		i += l.d.charLen(l.text, i)
	}
	return i, false
}

// folds tells whether the case of ASCII letters in text[i:j] may be ignored: not where one may be half a character.
func (l *lexer) folds(i, j int) bool {
	if l.d&TrailByte == 0 {
		return true
	}
	for _, c := range l.text[i:j] {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// word takes a name or keyword, or a string that starts with a letter: N'x', x'4A', b'01'.
func (l *lexer) word() {
	if l.at(l.pos+1) == '\'' && !l.dot {
		switch l.text[l.pos] | 0x20 {
		case 'n':
			l.string(l.pos + 1)
			return
		case 'x':
			l.digits(cHex)
			return
		case 'b':
			l.digits(cDigit)
			return
		}
	}
	end, ascii := l.nameFrom(l.pos)
	start := l.pos
	if !ascii && l.d&(TrailByte|SingleByte) == 0 && !utf8.Valid(l.text[start:end]) {
		l.broken = true
	}
	l.setName(tWord, end, start, end, ascii || l.folds(start, end))
	l.nameEnd = end
	if !l.dot && !(l.at(end) == '.' && l.inName(end+1)) {
		r := words.find(l.text, start, end-start)
		l.tok.kw, l.tok.attr = r.kw, r.attr
	}
}

// operator takes the longest operator at pos.
func (l *lexer) operator(c byte) {
	n := 1
	d := l.at(l.pos + 1)
	switch c {
	case '<':
		if d == '=' && l.at(l.pos+2) == '>' {
			n = 3
		} else if d == '=' || d == '>' || d == '<' {
			n = 2
		}
	case '>':
		if d == '=' || d == '>' {
			n = 2
		}
	case '-':
		if d == '>' && l.at(l.pos+2) == '>' {
			n = 3
		} else if d == '>' {
			n = 2
		}
	case '!', ':':
		if d == '=' {
			n = 2
		}
	case '&', '|':
		if d == c {
			n = 2
		}
	case '/':
		if d == '*' {
			l.openExec()
			return
		}
	case '*':
		if d == '/' && l.exec > 0 {
			l.exec--
			l.set(tExecClose, l.pos+2)
			return
		}
	}
	l.set(tOp, l.pos+n)
}

// punctuation takes a token that starts with a byte of no other class, and tells whether it is one.
func (l *lexer) punctuation(c byte) bool {
	switch c {
	case '(':
		l.set(tLParen, l.pos+1)
	case ')':
		l.set(tRParen, l.pos+1)
	case ',':
		l.set(tComma, l.pos+1)
	case ';':
		l.set(tSemi, l.pos+1)
	case '?':
		l.set(tLit, l.pos+1)
	case '.':
		if l.pos != l.nameEnd && classes[l.at(l.pos+1)].is(cDigit) {
			l.fraction(l.pos + 1)
		} else {
			l.set(tDot, l.pos+1)
		}
	case '\'':
		l.string(l.pos)
	case '"':
		if l.d&AnsiQuotes == 0 {
			l.string(l.pos)
		} else {
			l.quotedName()
		}
	case '`':
		l.quotedName()
	case '@':
		l.variable()
	case '#':
		l.lineComment(1)
		return false
	case '\\':
		if l.at(l.pos+1) == 'N' { // NULL to MariaDB and old MySQL
			l.literal(l.pos + 2)
			return true
		}
		fallthrough
	default:
		l.broken = true
		l.set(tBad, l.pos+1)
	}
	return true
}

// quotedName takes a name in backquotes, or in double quotes.
func (l *lexer) quotedName() {
	q := l.text[l.pos]
	end, to, twice := l.quotedFrom(l.pos)
	from := l.pos + 1
	l.checkTail(from, to)
	l.setName(tQuoted, end, from, to, l.folds(from, to))
	l.tok.quote, l.tok.twice = q, twice
	l.nameEnd = end
}

// variable takes @x, @'x', @"x", @`x`, @@x or @@`x`; the name may be missing.
func (l *lexer) variable() {
	k, from := tUserVar, l.pos+1
	if l.at(from) == '@' {
		k, from = tSysVar, from+1
	}
	switch q := l.at(from); {
	case q == '`' || q == '"' && (k == tUserVar || l.d&AnsiQuotes != 0) || q == '\'' && k == tUserVar:
		l.quotedVariable(k, from)
	case k == tUserVar:
		end, _ := l.nameFrom(from)
		for l.at(end) == '.' {
			end, _ = l.nameFrom(end + 1)
		}
		l.setName(k, end, from, end, l.folds(from, end))
	default:
		end, _ := l.nameFrom(from)
		l.setName(k, end, from, end, l.folds(from, end))
		l.nameEnd = end
	}
}

// checkTail makes the text broken if the name text[i:j] ends with half a character, which would take a backquote with
// it.
func (l *lexer) checkTail(i, j int) {
	if l.d&TrailByte == 0 || i == j || l.text[j-1] < 0x80 {
		return
	}
	for i < j-1 {
		i += l.d.charLen(l.text[:j], i)
	}
	if i == j-1 && l.d.paired(l.text[i], '`') {
		l.broken = true
	}
}

func (l *lexer) quotedVariable(k tokKind, at int) {
	q := l.text[at]
	var end, to int
	var twice bool
	if q == '`' || l.d&AnsiQuotes != 0 && q == '"' {
		end, to, twice = l.quotedFrom(at)
	} else {
		var closed bool
		if end, closed = l.stringFrom(at); closed {
			to = end - 1
		} else {
			to = end
		}
		twice = bytes.IndexByte(l.text[at+1:to], q) >= 0
	}
	l.checkTail(at+1, to)
	l.setName(k, end, at+1, to, l.folds(at+1, to))
	l.tok.quote, l.tok.twice = q, twice
	if k == tSysVar {
		l.nameEnd = end
	}
}

// quotedFrom finds the end of the name in quotes that starts at i: of the token, of the name, and whether the quote
// occurs in it, doubled.
func (l *lexer) quotedFrom(i int) (end, to int, twice bool) {
	q := l.text[i]
	for i++; i < len(l.text); {
		c := l.text[i]
		switch {
		case c != q:
			if c >= 0x80 {
				i += l.d.charLen(l.text, i)
			} else {
				i++
			}
		case l.at(i+1) == q:
			twice = true
			i += 2
		default:
			return i + 1, i, twice
		}
	}
	l.broken = true
	return len(l.text), len(l.text), twice
}
