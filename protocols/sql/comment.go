package sql

import "bytes"

// hintName begins the body of a comment that is a hint.
const hintName = "sluice:"

// comment skips the comment that starts at pos, where c is, and tells whether something was skipped. The bracket of an
// executable comment is a token and no comment.
func (l *lexer) comment(c byte) bool {
	switch {
	case c == '/' && l.at(l.pos+1) == '*':
		return l.longComment()
	case c == '-' && l.at(l.pos+1) == '-' && l.endsDashes(l.pos+2):
		l.lineComment(2)
		return true
	}
	return false
}

// endsDashes tells whether two dashes in front of i begin a comment: white space, a control byte or the end follows.
func (l *lexer) endsDashes(i int) bool {
	c := l.at(i)
	return c <= ' ' || c == 0x7F || c == 0xA0 && l.d&SingleByte != 0
}

// lineComment skips n bytes and the rest of the line.
func (l *lexer) lineComment(n int) {
	if l.exec > 0 {
		l.broken = true // a server that skips the executable comment does not see this one
	}
	l.pos += n
	if i := bytes.IndexByte(l.text[l.pos:], '\n'); i >= 0 {
		l.pos += i + 1
	} else {
		l.pos = len(l.text)
	}
}

// longComment skips /* ... */. It does not skip an executable one, which operator takes.
func (l *lexer) longComment() bool {
	c := l.at(l.pos + 2)
	if c == '!' || c == 'M' && l.at(l.pos+3) == '!' {
		return false
	}
	if l.exec > 0 {
		l.broken = true // servers disagree about comments in comments
	}
	body := l.pos + 2
	n := bytes.Index(l.text[body:], []byte("*/"))
	if n < 0 {
		l.broken = true
		l.pos = len(l.text)
		return true
	}
	if l.hints {
		l.takeHint(body, body+n)
	}
	l.pos = body + n + 2
	return true
}

// takeHint keeps the comment text[i:j] if it is a hint.
func (l *lexer) takeHint(i, j int) {
	for i < j && classes[l.text[i]].is(cSpace) {
		i++
	}
	if j-i < len(hintName) || string(l.text[i:i+len(hintName)]) != hintName {
		return
	}
	i += len(hintName)
	for i < j && classes[l.text[i]].is(cSpace) {
		i++
	}
	for j > i && classes[l.text[j-1]].is(cSpace) {
		j--
	}
	l.hint = span(i, j)
	l.hints = false
}

// openExec takes the opening bracket of an executable comment at pos, with the five or six digits of its version.
func (l *lexer) openExec() {
	from := l.pos + 3
	if l.text[l.pos+2] == 'M' {
		from++
	}
	to := from
	for to < from+6 && classes[l.at(to)].is(cDigit) {
		to++
	}
	if to < from+5 {
		to = from
	}
	if l.exec > 0 {
		l.broken = true
	}
	l.exec++
	l.setName(tExecOpen, to, from, to, false)
}
