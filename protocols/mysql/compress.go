package mysql

import (
	"io"
	"slices"
)

const (
	// CompressedHeaderLen is the length of a compressed frame's header: 3 bytes of length as it is on the wire, a
	// sequence id of its own, and 3 bytes of length when decompressed, 0 if the frame is not compressed.
	CompressedHeaderLen = 7
	// MinCompress is the length below which data is sent as it is, like MySQL's MIN_COMPRESS_LENGTH.
	MinCompress = 50
	// InflateChunk is how many bytes one call of Feed appends at most, about: see there.
	InflateChunk = 64 << 10
	// deflateChunk is the largest amount of data in one frame. A receiver has to hold a frame before it can decompress
	// it; larger ones hardly shrink better.
	deflateChunk = 256 << 10
	// keepFrame is how much memory an idle Inflater keeps.
	keepFrame = 4 << 10
)

// Inflater turns the frames of a compressed connection into the packets inside. Frames and packets are cut
// independently of each other. Its memory is the bytes of the one frame that is not complete yet, at most 16 MiB, and
// given back after.
//
// Sequence ids are not checked: servers number frames, and the packets inside, each in their own way.
type Inflater struct {
	codec *Codec
	err   error
	frame []byte       // the payload of a compressed frame as far as it is there
	fr    *frameReader // while a frame is being decompressed
	need  int          // bytes of the frame's payload still to come
	plain int          // bytes still to come out of the frame
	head  [CompressedHeaderLen]byte
	nhead int
	raw   bool // the frame is not compressed
	seq   byte
}

// NewInflater returns an Inflater for what codec compressed.
func NewInflater(codec *Codec) *Inflater { return &Inflater{codec: codec} }

// Seq returns the sequence id that follows the last frame's.
func (f *Inflater) Seq() byte { return f.seq }

// Pending tells whether Feed has more to append without being given more.
func (f *Inflater) Pending() bool { return f.fr != nil }

// Close gives back what the Inflater holds. It must not be used after.
func (f *Inflater) Close() {
	f.release()
	f.frame = nil
}

// Feed takes n bytes from the front of b and appends to dst what they stand for. It stops early, with n < len(b) or
// Pending, when it has appended about [InflateChunk] bytes, so that nobody has to hold all that a small frame may
// become: call it again, with the rest of b, when there is room. A length that is declared and not met is an error,
// which wraps [ErrMalformed] and is final.
func (f *Inflater) Feed(dst, b []byte) (out []byte, n int, err error) {
	if f.err != nil {
		return dst, 0, f.err
	}
	room := InflateChunk
	for room > 0 {
		before := len(dst)
		switch {
		case f.fr != nil:
			dst, err = f.inflate(dst, room)
		case f.need == 0:
			k := copy(f.head[f.nhead:], b[n:])
			n += k
			if f.nhead += k; f.nhead < CompressedHeaderLen {
				return dst, n, nil
			}
			err = f.header()
		case n == len(b):
			return dst, n, nil
		case f.raw:
			k := min(f.need, len(b)-n, room)
			dst = append(dst, b[n:n+k]...)
			n += k
			f.need -= k
		default:
			k := min(f.need, len(b)-n)
			f.frame = append(f.frame, b[n:n+k]...)
			n += k
			if f.need -= k; f.need == 0 {
				err = f.begin()
			}
		}
		if err != nil {
			f.release()
			f.err = err
			return dst, n, err
		}
		room -= len(dst) - before
	}
	return dst, n, nil
}

// header reads the header of a frame.
func (f *Inflater) header() error {
	length, seq := Header(f.head[:])
	plain := int(f.head[4]) | int(f.head[5])<<8 | int(f.head[6])<<16
	f.nhead, f.seq = 0, seq+1
	f.need, f.plain, f.raw = length, plain, plain == 0
	if length == 0 && plain > 0 {
		return malformed("compressed frame: %d bytes out of none", plain)
	}
	return nil
}

// begin starts to decompress the frame, which is complete.
func (f *Inflater) begin() error {
	fr := f.codec.readers.Get().(*frameReader)
	fr.src.Reset(f.frame)
	if err := fr.dec.Reset(&fr.src); err != nil {
		return malformed("compressed frame: %v", err)
	}
	f.fr = fr
	return nil
}

// inflate appends up to room bytes of the frame.
func (f *Inflater) inflate(dst []byte, room int) ([]byte, error) {
	k := min(f.plain, room)
	dst = slices.Grow(dst, k)
	n, err := io.ReadFull(f.fr.dec, dst[len(dst):len(dst)+k])
	dst = dst[:len(dst)+n]
	f.plain -= n
	if err != nil {
		return dst, malformed("compressed frame: %d bytes less than declared: %v", f.plain, err)
	}
	if f.plain > 0 {
		return dst, nil
	}
	// The end of the data must be the end of the frame; reading it also checks the sum.
	var more [1]byte
	for {
		n, err := f.fr.dec.Read(more[:])
		if n > 0 {
			return dst, malformed("compressed frame: more bytes than declared")
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return dst, malformed("compressed frame: %v", err)
		}
	}
	if f.fr.src.Len() > 0 {
		return dst, malformed("compressed frame: %d bytes behind its data", f.fr.src.Len())
	}
	f.fr.src.Reset(nil)
	f.codec.readers.Put(f.fr)
	f.release()
	return dst, nil
}

// release lets go of the frame. A decompressor that still is in the midst of one is not pooled.
func (f *Inflater) release() {
	f.fr = nil
	if f.frame = f.frame[:0]; cap(f.frame) > keepFrame {
		f.frame = nil
	}
}

// Deflater makes the frames of a compressed connection. It has no memory but the next sequence id.
type Deflater struct {
	codec *Codec
	seq   byte
}

// NewDeflater returns a Deflater that compresses with codec. Sequence ids begin with 0.
func NewDeflater(codec *Codec) *Deflater { return &Deflater{codec: codec} }

// SetSeq sets the sequence id of the next frame: 0 for a command's, [Inflater.Seq] for a reply's.
func (d *Deflater) SetSeq(seq byte) { d.seq = seq }

// Seq returns the sequence id of the next frame.
func (d *Deflater) Seq() byte { return d.seq }

// Append appends plain, packets or parts of such, as one frame or several. Frames below [MinCompress], and those that
// compression would make longer, are not compressed. The error is the compressor's; dst is then as it was.
func (d *Deflater) Append(dst, plain []byte) ([]byte, error) {
	start := len(dst)
	for len(plain) > 0 {
		part := plain[:min(len(plain), deflateChunk)]
		plain = plain[len(part):]
		at := len(dst)
		dst = append(dst, make([]byte, CompressedHeaderLen)...)
		size := 0
		if len(part) >= MinCompress {
			var err error
			if dst, err = d.deflate(dst, part); err != nil {
				return dst[:start], err
			}
			size = len(part)
		}
		if got := len(dst) - at - CompressedHeaderLen; size == 0 || got >= len(part) {
			dst, size = append(dst[:at+CompressedHeaderLen], part...), 0
		}
		head := AppendHeader(dst[at:at], len(dst)-at-CompressedHeaderLen, d.seq)
		_ = append(head, byte(size), byte(size>>8), byte(size>>16))
		d.seq++
	}
	return dst, nil
}

// deflate appends part compressed.
func (d *Deflater) deflate(dst, part []byte) ([]byte, error) {
	w := d.codec.writers.Get().(*frameWriter)
	w.out = dst
	w.comp.Reset(w)
	_, err := w.comp.Write(part)
	if err == nil {
		err = w.comp.Close()
	}
	dst, w.out = w.out, nil
	if err != nil {
		return dst, err // the compressor is not pooled: nobody knows what became of it
	}
	d.codec.writers.Put(w)
	return dst, nil
}
