package http1

import (
	"bytes"
	"strconv"
)

// Framing is how the end of a body is found.
type Framing uint8

// The framings.
const (
	None       Framing = iota // there is no body
	Sized                     // Content-Length
	Chunked                   // Transfer-Encoding: chunked
	UntilClose                // it ends with the connection; of answers alone
)

// Limits of what surrounds chunks, in bytes.
const (
	maxChunkLine = 4 << 10 // the size and extensions
	maxTrailer   = 16 << 10
)

// Body follows a body to its end.
type Body struct {
	framing Framing
	stage   stage
	left    int64 // bytes of the body, or of the chunk, that are still to come
	trailer int   // bytes of it that came
}

type stage uint8

const (
	atSize stage = iota
	inChunk
	afterChunk
	inTrailer
	atEnd
)

// Framing says how the end is found.
func (d *Body) Framing() Framing { return d.framing }

// Left returns how many bytes of a sized body are still to come.
func (d *Body) Left() int64 { return d.left }

// Done reports whether the body is whole. One that ends with the connection never is.
func (d *Body) Done() bool {
	switch d.framing {
	case None:
		return true
	case Sized:
		return d.left == 0
	case Chunked:
		return d.stage == atEnd
	}
	return false
}

// Form is how a body is written.
type Form uint8

// The forms.
const (
	AsFramed Form = iota // as it is framed: chunks stay chunks
	Plain                // its bytes alone
	AsChunks             // as chunks, if it ends with the connection; whoever sees that end writes [End]
)

// End is the last chunk, without a trailer.
const End = "0\r\n\r\n"

// Append appends what b has of the body to dst, in a form, and returns how many bytes of b it took. It leaves what is not the
// body's, and lines that are not whole. An error is always an [*Error].
func (d *Body) Append(dst, b []byte, form Form) ([]byte, int, error) {
	switch d.framing {
	case Sized:
		n := int(min(d.left, int64(len(b))))
		d.left -= int64(n)
		return append(dst, b[:n]...), n, nil
	case Chunked:
		return d.chunks(dst, b, form)
	case UntilClose:
		if form == AsChunks && len(b) > 0 {
			dst = strconv.AppendInt(dst, int64(len(b)), 16)
			dst = append(dst, "\r\n"...)
			return append(append(dst, b...), "\r\n"...), len(b), nil
		}
		return append(dst, b...), len(b), nil
	}
	return dst, 0, nil
}

// chunks is Append for a chunked body. Chunks are written anew, so that what follows cannot read them in another way.
func (d *Body) chunks(dst, b []byte, form Form) ([]byte, int, error) {
	off := 0
	for off < len(b) && d.stage != atEnd {
		rest := b[off:]
		switch d.stage {
		case inChunk:
			n := int(min(d.left, int64(len(rest))))
			dst = append(dst, rest[:n]...)
			off += n
			if d.left -= int64(n); d.left == 0 {
				d.stage = afterChunk
			}
			continue
		case afterChunk:
			if rest[0] != '\r' || len(rest) > 1 && rest[1] != '\n' {
				return dst, off, errChunkEnd
			}
			if len(rest) < 2 {
				return dst, off, nil
			}
			dst = frame(dst, rest[:2], form)
			off += 2
			d.stage = atSize
			continue
		}
		l, n, err := line(rest)
		if err != nil {
			return dst, off, err
		}
		have := n
		if n == 0 {
			have = len(rest)
		}
		switch {
		case d.stage == inTrailer && have > maxTrailer-d.trailer:
			return dst, off, errTrailer
		case have > maxChunkLine && d.stage == atSize:
			return dst, off, errChunkLine
		case n == 0:
			return dst, off, nil
		case d.stage == atSize:
			if dst, err = d.size(dst, l, form); err != nil {
				return dst, off, err
			}
		case n == 2:
			dst = frame(dst, rest[:2], form)
			d.stage = atEnd
		default:
			name, _, err := split(l)
			if err != nil {
				return dst, off, err
			}
			if d.trailer += n; known(name) == Other { // nothing that a head is read by may come after it
				dst = frame(dst, rest[:n], form)
			}
		}
		off += n
	}
	return dst, off, nil
}

// frame appends what is around a body's bytes, unless those are wanted alone.
func frame(dst, b []byte, form Form) []byte {
	if form == Plain {
		return dst
	}
	return append(dst, b...)
}

// size reads the line before a chunk and writes it anew without its extensions.
func (d *Body) size(dst, l []byte, form Form) ([]byte, error) {
	digits, n := 0, int64(0)
	for ; digits < len(l); digits++ {
		v := hexValue(l[digits])
		if v < 0 {
			break
		}
		if n = n<<4 | int64(v); digits == 15 || n>>56 != 0 {
			return dst, errChunk
		}
	}
	if ext := bytes.TrimLeft(l[digits:], " \t"); digits == 0 || digits < len(l) && (len(ext) == 0 || ext[0] != ';') || !all(ext, isValue) {
		return dst, errChunk
	}
	if d.left, d.stage = n, inChunk; n == 0 {
		d.stage = inTrailer
	}
	if form != Plain {
		dst = append(strconv.AppendInt(dst, n, 16), "\r\n"...)
	}
	return dst, nil
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
