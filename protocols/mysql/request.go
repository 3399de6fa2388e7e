package mysql

// Request follows one packet of a client, which may take many frames, without gathering it:
//
//	q.Start(0)
//	for !q.Done() {
//		n, err := q.Next(buf)
//		// pass buf[:n] on and drop it from buf; if n == 0 read more first
//	}
//
// It serves for commands that are too large to be looked at as a whole, and for the packets behind a LOCAL INFILE
// request, of which the last is empty. A packet that fits one frame is easier read with [Header]. The zero value is
// Done.
type Request struct {
	err    error
	size   int64
	left   int
	frames int
	seq    byte
	first  bool // the payload's first byte has been seen
	renum  bool // sequence ids are set, not checked
	cmd    byte
	head   bool // at a header
	cont   bool
}

// Start begins a new packet, whose first frame has the sequence id seq: 0 for a command.
func (q *Request) Start(seq byte) { *q = Request{seq: seq, head: true} }

// Renumber makes Next take any sequence id and write the right one into b, until Start: inside of compressed frames
// nobody checks them, and clients count them in ways that differ.
func (q *Request) Renumber() { q.renum = true }

// Done tells whether the packet is complete. Next must not be called then.
func (q *Request) Done() bool { return !q.head && q.left == 0 && q.err == nil }

// Size returns the bytes of payload in the frames that have begun; it is final when Last.
func (q *Request) Size() int64 { return q.size }

// Last tells whether the frame that has begun is the packet's last.
func (q *Request) Last() bool { return !q.head && !q.cont }

// Frames returns how many frames have begun. The sequence id of the reply's first frame follows from it: see
// [Reply.SetSeq].
func (q *Request) Frames() int { return q.frames }

// Command returns the packet's first byte as soon as it has been seen.
func (q *Request) Command() (cmd Command, ok bool) { return Command(q.cmd), q.first }

// Next says how many bytes of b, which begins where the last call's n ended, belong to the packet and may be passed on.
// n is 0 only if b is empty or ends within a header. An error, which wraps [ErrMalformed], is final.
func (q *Request) Next(b []byte) (n int, err error) {
	if q.err != nil {
		return 0, q.err
	}
	if q.Done() {
		return 0, malformed("bytes behind the end of a client's packet")
	}
	for {
		if q.head {
			if len(b)-n < HeaderLen {
				return n, nil
			}
			length, seq := Header(b[n:])
			if q.renum {
				b[n+3] = q.seq
			} else if seq != q.seq {
				if n > 0 {
					return n, nil
				}
				q.err = malformed("client's packet: sequence id %d instead of %d", seq, q.seq)
				return 0, q.err
			}
			q.seq++
			q.frames++
			q.size += int64(length)
			q.left, q.cont, q.head = length, length == MaxPayload, false
			n += HeaderLen
		}
		if !q.first && q.left > 0 && n < len(b) {
			q.cmd, q.first = b[n], true
		}
		k := min(q.left, len(b)-n)
		n += k
		if q.left -= k; q.left > 0 {
			return n, nil
		}
		if !q.cont {
			return n, nil
		}
		q.head = true
	}
}
