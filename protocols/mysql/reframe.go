package mysql

import "errors"

// ErrMoreFrames is the error of a packet that takes one frame more than it did before something was put into it. The reply
// would be numbered in another way than its client expects.
var ErrMoreFrames = errors.New("the packet takes more frames than the client's")

// Reframer makes the frames of a packet anew, as it passes, that became longer at its beginning. Every frame but the last is
// full, so each one hands as many bytes on to the next as were put in; no more is kept than that. Extra is their number, less
// than [MaxPayload].
type Reframer struct {
	Extra int

	header []byte // of a frame of the client's, while it is not complete
	in     int    // bytes of payload that come before the next header
	held   []byte // payload for frames whose length is not known yet
	known  int    // bytes of payload that belong to no frame yet, come or to come
	last   bool   // known is all that will be
	frame  int    // bytes that the frame under way still takes
	seq    byte
	ended  bool
}

// Append appends to dst what can be written once b has come. The first b begins with the header of the client's first frame; Extra
// bytes more than that says follow it. After an error the packet can be neither ended nor taken back.
func (r *Reframer) Append(dst, b []byte) ([]byte, error) {
	for {
		if r.in == 0 && !r.last {
			n := min(HeaderLen-len(r.header), len(b))
			r.header, b = append(r.header, b[:n]...), b[n:]
			if len(r.header) < HeaderLen {
				return dst, nil
			}
			size, _ := Header(r.header)
			r.header, r.last = r.header[:0], size < MaxPayload
			r.in, r.Extra = size+r.Extra, 0
			if r.known += r.in; r.last && r.known >= MaxPayload {
				return dst, ErrMoreFrames
			}
		}
		n := min(r.in, len(b))
		r.held, b = append(r.held, b[:n]...), b[n:]
		r.in -= n
		dst = r.emit(dst)
		if len(b) == 0 {
			return dst, nil
		}
		if r.in == 0 && r.last {
			return dst, malformed("bytes behind the end of a client's packet")
		}
	}
}

// emit appends what is held as far as the lengths of its frames are known.
func (r *Reframer) emit(dst []byte) []byte {
	for {
		if r.frame == 0 {
			if r.ended || r.known < MaxPayload && !r.last {
				return dst
			}
			r.frame = min(r.known, MaxPayload)
			r.ended = r.frame < MaxPayload
			r.known -= r.frame
			dst = AppendHeader(dst, r.frame, r.seq)
			r.seq++
		}
		n := min(len(r.held), r.frame)
		dst = append(dst, r.held[:n]...)
		r.held = r.held[:copy(r.held, r.held[n:])]
		if r.frame -= n; r.frame > 0 || r.ended {
			return dst
		}
	}
}
