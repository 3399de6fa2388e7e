package resp

// Relay follows a request that is forwarded piece by piece instead of being gathered. Like Scan it checks every byte;
// unlike Scan it needs none of them again.
//
//	rl := req.Relay()                    // after Large
//	n, done, err := rl.Next(buf)         // buf: the same buffer, from the request's first byte
//	forward buf[:n]; read more; rl.Next(more) ...
//
// After an error the upstream has got a part of a request: its connection must be closed, like the client's.
type Relay struct {
	given   int // bytes that Scan checked and Next has still to hand out
	left    int // arguments whose body has not begun
	body    int // bytes of the current body still to come
	line    int // bytes of the current length line so far
	size    number
	phase   relayPhase
	dollar  byte // first byte of the current length line
	unauth  bool
	maxBulk int64
	maxLine int
	err     *ProtocolError
}

type relayPhase uint8

const (
	relayLine   relayPhase = iota // in a length line
	relayLineLF                   // behind its CR
	relayBody                     // in a body
	relayBodyCR
	relayBodyLF
	relayDone
	relayFailed
)

// Relay returns a Relay for a request that Scan found Large or Complete, or that needs more bytes but whose Argc is
// known. For any other request its Next returns an error.
func (r *Request) Relay() Relay {
	rl := Relay{given: r.pos, left: r.Argc - r.got, maxBulk: r.lim.maxBulk(), maxLine: r.lim.maxInline(),
		unauth: r.lim.unauthenticated()}
	switch r.phase {
	case phaseLength:
	case phaseBody:
		rl.left--
		rl.body, rl.phase = r.bulk, relayBody
		if rl.body == 0 {
			rl.phase = relayBodyCR
		}
	case phaseDone:
		rl.phase = relayDone
	case phaseFailed:
		rl.phase, rl.err = relayFailed, r.err
	default:
		rl.phase, rl.err = relayFailed, errRelay
	}
	return rl
}

// BulkLeft returns how many bytes of the current argument are still to come, without its CRLF; 0 between arguments.
func (rl *Relay) BulkLeft() int64 { return int64(rl.body) }

// Next says how many bytes of buf belong to the request and may be forwarded as they are. The first call is given the
// request from its first byte, later calls what follows the n bytes of the one before. All of buf belongs to it
// (n == len(buf)) unless the request ends there (done) or err, a *ProtocolError, says why it cannot go on.
func (rl *Relay) Next(buf []byte) (n int, done bool, err error) {
	if rl.given > 0 {
		n = min(rl.given, len(buf))
		rl.given -= n
		if rl.given > 0 {
			return n, false, nil
		}
	}
	for n < len(buf) && rl.phase < relayDone {
		if rl.phase == relayBody {
			k := min(rl.body, len(buf)-n)
			rl.body -= k
			n += k
			if rl.body == 0 {
				rl.phase = relayBodyCR
			}
			continue
		}
		if e := rl.step(buf[n]); e != nil {
			rl.phase, rl.err = relayFailed, e
			break
		}
		n++
	}
	if rl.phase == relayFailed {
		return n, false, rl.err
	}
	return n, rl.phase == relayDone, nil
}

// step takes one byte outside a body.
func (rl *Relay) step(c byte) *ProtocolError {
	switch rl.phase {
	case relayLine:
		if c == '\r' {
			if rl.line == 0 {
				rl.dollar = c
			}
			rl.phase = relayLineLF
			return nil
		}
		if rl.line == rl.maxLine {
			return errBigLength
		}
		if rl.line == 0 {
			rl.dollar = c
		} else {
			rl.size.add(c)
		}
		rl.line++
	case relayLineLF:
		return rl.length(c)
	case relayBodyCR:
		if c != '\r' {
			return errCRLF
		}
		rl.phase = relayBodyLF
	case relayBodyLF:
		if c != '\n' {
			return errCRLF
		}
		rl.phase = relayLine
		if rl.left == 0 {
			rl.phase = relayDone
		}
	}
	return nil
}

// length judges a length line; c is the byte behind its CR. The order of the checks is Scan's.
func (rl *Relay) length(c byte) *ProtocolError {
	if rl.dollar != '$' {
		return errDollar(rl.dollar)
	}
	v, ok := rl.size.value()
	switch {
	case !ok || v < 0 || v > rl.maxBulk:
		return errLength
	case v > unauthenticatedBulk && rl.unauth:
		return errUnauthLength
	case c != '\n':
		return errCRLF
	}
	rl.left--
	rl.line, rl.size = 0, number{}
	rl.body, rl.phase = int(v), relayBody
	if v == 0 {
		rl.phase = relayBodyCR
	}
	return nil
}
