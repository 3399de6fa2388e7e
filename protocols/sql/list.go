package sql

// maxLists is how deep lists inside each other are shortened; deeper ones stay as they are.
const maxLists = 8

// list is the inside of IN (...) or of a row, or the rows of VALUES: elements with commas between them.
//
// Each element has its own hash, which goes into that of the text when it ends. An element like its left neighbour is
// undone instead, with its comma.
type list struct {
	depth int    // where its commas are
	rows  bool   // the elements are rows
	done  bool   // rows: a row has ended
	comma bool   // rows: a comma is held back: it is part of the list only if a row follows
	whole bool   // the list is no list but a query: nothing is left out
	first kw     // the present element's first token, if a keyword
	any   bool   // last is valid
	last  uint64 // hash of the last element
	start state  // before the present element's comma
	body  state  // behind it
}

// push begins a list whose commas are at depth.
func (n *norm) push(depth int, rows bool) {
	if n.nlists == maxLists {
		return
	}
	l := &n.lists[n.nlists]
	n.nlists++
	*l = list{depth: depth, rows: rows}
	n.element(l, false)
}

// element begins an element of l, with a comma before it or not.
func (n *norm) element(l *list, withComma bool) {
	l.start = n.save()
	if withComma && n.writing {
		n.put(comma, false, false)
	}
	if withComma {
		n.prev = pComma
	}
	n.h, n.toks, n.words = hashSeed, 0, false
	n.run = runNone
	l.body = n.save()
	l.first = kwNone
}

// finish ends the present element of l.
func (n *norm) finish(l *list) {
	if n.repeats(l) {
		n.undo(&l.start)
	} else {
		n.keep(l)
	}
}

// repeats tells whether the present element of l is to be left out because the one before is the same.
func (n *norm) repeats(l *list) bool {
	if n.toks == 1 && l.first != kwNone && !l.rows && !l.whole && keywords[l.first].attr&aConst != 0 {
		n.undo(&l.body)
		n.literal()
	}
	return n.h == l.last && l.any && !l.whole && (l.rows || !n.words)
}

// keep makes the present element of l part of what the list is in.
func (n *norm) keep(l *list) {
	l.any, l.last = true, n.h
	n.h = mix(l.start.h, n.h, tagOf(tElem, 0))
	n.toks += l.start.toks
	n.words = n.words || l.start.words
}

// word takes note of a word that begins the present element of l.
func (l *list) word(n *norm, t *token) {
	if n.toks > 0 {
		return
	}
	l.first = t.kw
	if !l.rows && (t.kw == kwSelect || t.kw == kwWith) {
		l.whole = true
	}
}

// row looks at the token before anything else where the list on top is rows, and tells whether it kept it.
func (n *norm) row(t *token) bool {
	for n.nlists > 0 {
		l := &n.lists[n.nlists-1]
		if !l.rows || !l.done || n.depth != l.depth {
			return false
		}
		if t.kind == tComma && !l.comma {
			l.comma = true
			n.lastKw = kwNone
			return true
		}
		if l.comma && (t.kind == tLParen || t.kind == tWord && t.kw == kwRow) {
			l.comma, l.done = false, false
			n.element(l, true)
			return false
		}
		held := l.comma
		n.nlists--
		if held {
			n.token(&token{kind: tComma})
		}
	}
	return false
}

func (n *norm) comma() {
	if n.nlists > 0 {
		if l := &n.lists[n.nlists-1]; !l.rows && l.depth == n.depth {
			if n.repeats(l) { // the next one takes its place, behind the same comma
				n.undo(&l.body)
				n.run, l.first = runNone, kwNone
				return
			}
			n.keep(l)
			n.element(l, true)
			return
		}
	}
	n.emit(mix(n.h, 0, tagOf(tComma, 0)), comma, false, pComma)
}

// open takes an opening parenthesis: it may begin a list.
func (n *norm) open() {
	inList := false
	if n.nlists > 0 {
		l := &n.lists[n.nlists-1]
		if l.depth == n.depth {
			inList = n.toks == 0 || l.rows && n.toks == 1 && n.lastKw == kwRow
		}
	}
	if !inList {
		switch n.lastKw {
		case kwIn:
			inList = true
		case kwValues, kwValue:
			n.push(n.depth, true)
			inList = true
		}
	}
	n.emit(mix(n.h, 0, tagOf(tLParen, 0)), lparen, n.prev != pName, pLParen)
	n.depth++
	if inList {
		n.push(n.depth, false)
	}
}

func (n *norm) close() {
	for n.nlists > 0 {
		l := &n.lists[n.nlists-1]
		if l.depth != n.depth {
			break
		}
		n.finish(l)
		n.nlists--
		if !l.rows {
			break // its own parenthesis; rows without one end with what they are in
		}
	}
	n.emit(mix(n.h, 0, tagOf(tRParen, 0)), rparen, false, pRParen)
	if n.depth == 0 {
		return
	}
	n.depth--
	if n.nlists > 0 {
		if l := &n.lists[n.nlists-1]; l.rows && l.depth == n.depth && !l.done {
			n.finish(l)
			l.done = true
		}
	}
}

// closeLists ends all lists at the end of a statement.
func (n *norm) closeLists() {
	for n.nlists > 0 {
		l := &n.lists[n.nlists-1]
		held := l.comma
		if !l.done {
			n.finish(l)
		}
		n.nlists--
		if held {
			n.comma()
		}
	}
}
