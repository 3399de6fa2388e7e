package sql

// name takes a name in quotes, or a variable.
func (n *norm) name(t *token) {
	n.words = true
	if t.twice {
		s := hasher{h: n.h}
		for i := t.from; i < t.to; {
			i = n.addByte(&s, t, i)
		}
		n.h = s.sum(t.kind)
	} else {
		n.h = hashSpan(n.h, n.text, t.from, t.to-t.from, t.kind, t.fold)
	}
	n.toks++
	if n.writing {
		n.putName(t)
	}
	n.run = runNone
	n.prev = pName
	if t.kind == tUserVar {
		n.prev = pUserVar
	}
}

// addByte adds the character at i of the name and returns where the next one starts: quotes that are doubled are one.
func (n *norm) addByte(s *hasher, t *token, i int) int {
	c := n.text[i]
	size := n.charLen(t, i)
	switch {
	case size == 2:
		s.add(c)
		s.add(n.text[i+1])
		return i + 2
	case c == t.quote && i+1 < t.to && n.text[i+1] == c:
		s.add(c)
		return i + 2
	case t.fold && c >= 'A' && c <= 'Z':
		c |= 0x20
	}
	s.add(c)
	return i + 1
}

func (n *norm) charLen(t *token, i int) int { return n.d.charLen(n.text[:t.to], i) }

// nameLead begins a system variable in quotes; its tail begins the other names in quotes.
var nameLead = []byte("@@`")

// putName appends the name: a variable without quotes where it can do without, the rest in backquotes.
func (n *norm) putName(t *token) {
	lead, bare := nameLead[len(nameLead)-1:], false
	switch t.kind {
	case tUserVar:
		lead, bare = nameLead[1:], n.bare(t)
	case tSysVar:
		lead, bare = nameLead, n.bare(t)
	}
	if bare {
		lead = lead[:len(lead)-1]
	}
	before := n.save()
	n.put(lead, true, false)
	for i := t.from; i < t.to && !n.full; {
		i = n.putChar(t, i)
	}
	if !bare {
		n.writeByte('`')
	}
	if n.full && !before.full { // the name does not fit: nothing of it stays
		n.out = n.out[:n.base+int(before.len)]
	}
}

// bare tells whether the variable's name needs no quotes.
func (n *norm) bare(t *token) bool {
	for i := t.from; i < t.to; {
		c := n.text[i]
		if !classes[c].is(cIdent) && !(c == '.' && t.kind == tUserVar) || c == 0xA0 && n.d&SingleByte != 0 {
			return false
		}
		i += n.charLen(t, i)
	}
	return t.to > t.from
}

// putChar appends the character at i and returns where the next one starts.
func (n *norm) putChar(t *token, i int) int {
	c := n.text[i]
	if n.charLen(t, i) == 2 {
		n.writeByte(c)
		n.writeByte(n.text[i+1])
		return i + 2
	}
	next := i + 1
	if c == t.quote && next < t.to && n.text[next] == c {
		next++
	}
	switch {
	case c == '`':
		n.writeByte(c)
		n.writeByte(c)
	case t.fold && c >= 'A' && c <= 'Z':
		n.writeByte(c | 0x20)
	default:
		n.writeByte(c)
	}
	return next
}

func (n *norm) writeByte(c byte) {
	if n.full || len(n.out)-n.base >= MaxDigestText {
		n.full = true
		return
	}
	n.out = append(n.out, c)
}
