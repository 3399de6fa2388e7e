package load

// This file is the model of what a key may hold: pure state, no I/O.

// finding is what a reply says about the rules.
type finding uint8

const (
	fine finding = iota
	late
	wrong
	lost
	repeated
	reordered
	numFindings
)

var findingNames = [numFindings]string{"fine", "late", "wrong", "lost", "repeated", "reordered"}

// A key is retired, and replaced by a new one, when it has gathered this many writes of unknown outcome, since each
// makes its checks weaker.
const (
	maxUnknownWrites = 32
	maxUnknownIncrs  = 4
)

// version is one write of a string key.
type version struct {
	seq     uint64
	deleted bool
}

// register models a string key. Sequences rise with every write sent, deletions included.
type register struct {
	now     version   // the newest write known to have happened; seq 0: the key was never written
	unknown []version // sent, may happen at any time or never, in no known order
	next    uint64    // sequence of the next write
}

// write returns the sequence of a new write; exactly one of acked, unsure and the absence of both follows.
func (r *register) write() uint64 {
	r.next++
	return r.next
}

// acked records that the write happened. It is newer than any other acknowledged one, because replies are taken in the
// order of requests.
func (r *register) acked(v version) { r.now = v }

// unsure records that nobody knows whether the write happens.
func (r *register) unsure(v version) { r.unknown = append(r.unknown, v) }

// sawValue checks a GET that returned sequence seq.
func (r *register) sawValue(seq uint64, stale bool) finding {
	if seq == r.now.seq && !r.now.deleted {
		return fine
	}
	for i, v := range r.unknown {
		if v.seq == seq && !v.deleted {
			return r.settle(i)
		}
	}
	if seq > r.now.seq || seq == 0 {
		return wrong // never sent, refused, or a deletion's number
	}
	if stale {
		return fine
	}
	r.now = version{seq: seq} // count one loss once
	return lost
}

// sawNothing checks a GET that returned null.
func (r *register) sawNothing(stale bool) finding {
	if r.now.deleted || r.now.seq == 0 {
		return fine
	}
	for i, v := range r.unknown {
		if v.deleted {
			return r.settle(i)
		}
	}
	if stale {
		return fine
	}
	r.now = version{seq: r.now.seq, deleted: true}
	return lost
}

// settle makes the i-th unknown write the current one: it happened.
func (r *register) settle(i int) finding {
	v := r.unknown[i]
	r.unknown = append(r.unknown[:i], r.unknown[i+1:]...)
	f := fine
	if v.seq < r.now.seq {
		f = late
	}
	r.now = v
	return f
}

// counter models a number that only INCR changes, or the length of a log that only APPEND changes.
type counter struct {
	known   int64 // increments that happened
	unknown int64 // increments that may still happen
}

// sawIncr checks the reply of an increment.
func (c *counter) sawIncr(n int64) finding { return c.saw(n, c.known+1) }

// sawRead checks the result of a read.
func (c *counter) sawRead(n int64) finding { return c.saw(n, c.known) }

// saw takes n, which must be least or up to as much more as increments are unknown.
func (c *counter) saw(n, least int64) finding {
	f := fine
	switch {
	case n < least:
		f = lost
	case n > least+c.unknown:
		f = repeated
	default:
		c.unknown -= n - least
	}
	c.known = n
	return f
}

// A log holds tokens of fixed width, the number of the append in decimal and a comma, so that its length tells how many
// there are and its content which.
const (
	tokenWidth = 6
	logTokens  = 500 // then it is retired
)

// tokenState is what the client knows of an append.
type tokenState uint8

const (
	tokenRefused tokenState = iota // also: not sent
	tokenAcked
	tokenUnknown
	tokenSeen // while its log is read
)

// tokenLog models a key that only APPEND changes.
type tokenLog struct {
	counter
	tokens []tokenState // by number
}

// appendToken appends the i-th token.
func appendToken(dst []byte, i int) []byte {
	var b [tokenWidth]byte
	b[tokenWidth-1] = ','
	for j := tokenWidth - 2; j >= 0; j-- {
		b[j] = byte('0' + i%10)
		i /= 10
	}
	return append(dst, b[:]...)
}

// readToken returns the number of the token at the start of b.
func readToken(b []byte) (int, bool) {
	n := 0
	for _, c := range b[:tokenWidth-1] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, b[tokenWidth-1] == ','
}

// sawContent checks the whole log: each acknowledged token once and in order, each unknown one once at most.
func (l *tokenLog) sawContent(b []byte, stale bool) finding {
	if len(b)%tokenWidth != 0 {
		return wrong
	}
	last := -1
	seen := make([]tokenState, len(l.tokens))
	for ; len(b) > 0; b = b[tokenWidth:] {
		i, ok := readToken(b)
		switch {
		case !ok || i >= len(l.tokens) || l.tokens[i] == tokenRefused:
			return wrong
		case seen[i] == tokenSeen:
			return repeated
		case l.tokens[i] == tokenAcked && i < last:
			return reordered
		}
		seen[i] = tokenSeen
		if l.tokens[i] == tokenAcked {
			last = i
		}
	}
	for i, t := range l.tokens {
		if t == tokenAcked && seen[i] != tokenSeen && !stale {
			return lost
		}
	}
	return fine
}
