package motan2

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of the parts that every frame has, in bytes.
const (
	headSize = 13
	// MinFrame is the size of a frame without metadata and body.
	MinFrame = headSize + 4 + 4
)

// DefaultMax is what peers let metadata and body each have, in bytes (maxContentLength).
const DefaultMax = 10 << 20

// Bits of Head.Type.
const (
	TypeResponse  = 0x01
	TypeProxy     = 0x02 // an agent is in between: whoever gets it leaves the body as it is
	TypeOneway    = 0x04 // nobody waits for an answer
	TypeGzip      = 0x08 // of the body
	TypeHeartbeat = 0x10
)

// Values of Head.Status.
const (
	StatusNormal    = 0
	StatusException = 1
)

// ErrMotan1 says that a frame is one of Motan1, which shares the magic number.
var ErrMotan1 = errors.New("motan2: a frame of Motan1")

// FormatError says that bytes are no frame. The connection cannot go on.
type FormatError struct{ Text string }

func (e *FormatError) Error() string { return "motan2: " + e.Text }

// TooLargeError says that a frame's metadata or body is over the limit. Its head was read; Rest is how many bytes of the
// frame follow those that were looked at, -1 when that is not known yet because the metadata is what is too large.
type TooLargeError struct {
	What string // "metadata" or "body"
	Size int    // bytes, as declared
	Max  int    // bytes
	Rest int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("motan2: the %s of a frame has %d bytes, at most %d are taken", e.What, e.Size, e.Max)
}

// Head is what every frame begins with.
type Head struct {
	ID            uint64
	Type          byte // TypeResponse, ...
	Status        byte // StatusNormal, ...
	Serialization byte // of the body; package serial has the numbers
}

// Frame is a frame that was found in a buffer. Meta and Body point into it.
type Frame struct {
	Head
	Meta Meta
	Body []byte
	Size int // of the whole frame in bytes
}

// Scan finds the frame at the beginning of b. It returns false when b does not hold all of it yet; then Size is how long the
// frame is as far as that is known, else 0. max limits metadata and body each, in bytes. Errors are ErrMotan1,
// *FormatError, or *TooLargeError, with which the Head is valid.
func (f *Frame) Scan(b []byte, max int) (bool, error) {
	f.Size = 0
	if len(b) < 4 {
		if !prefix(b) {
			return false, &FormatError{fmt.Sprintf("a frame begins with % x, not with f1f1", b[:min(len(b), 2)])}
		}
		return false, nil
	}
	if b[0] != 0xF1 || b[1] != 0xF1 {
		return false, &FormatError{fmt.Sprintf("a frame begins with % x, not with f1f1", b[:2])}
	}
	switch v := b[3] >> 3; v {
	case 1:
	case 0:
		return false, ErrMotan1
	default:
		return false, &FormatError{fmt.Sprintf("a frame has version %d, which nobody knows", v)}
	}
	if len(b) < headSize+4 {
		return false, nil
	}
	f.Head = Head{ID: binary.BigEndian.Uint64(b[5:]), Type: b[2], Status: b[3] & 7, Serialization: b[4] >> 3}
	meta := int64(binary.BigEndian.Uint32(b[headSize:]))
	if meta > int64(max) {
		return false, &TooLargeError{"metadata", int(meta), max, -1}
	}
	at := headSize + 4 + int(meta)
	if len(b) < at+4 {
		return false, nil
	}
	body := int64(binary.BigEndian.Uint32(b[at:]))
	if body > int64(max) {
		return false, &TooLargeError{"body", int(body), max, int64(at) + 4 + body - int64(len(b))}
	}
	f.Size = at + 4 + int(body)
	if len(b) < f.Size {
		return false, nil
	}
	f.Meta, f.Body = b[headSize+4:at], b[at+4:f.Size]
	return true, nil
}

func prefix(b []byte) bool { return (len(b) < 1 || b[0] == 0xF1) && (len(b) < 2 || b[1] == 0xF1) }

// SetID changes the request id of the frame that begins at b.
func SetID(b []byte, id uint64) { binary.BigEndian.PutUint64(b[5:], id) }

// appendHead appends a frame up to its metadata, whose size in bytes is given.
func appendHead(dst []byte, h Head, meta int) []byte {
	dst = append(dst, 0xF1, 0xF1, h.Type, 1<<3|h.Status&7, h.Serialization<<3)
	dst = binary.BigEndian.AppendUint64(dst, h.ID)
	return binary.BigEndian.AppendUint32(dst, uint32(meta))
}

// Append appends a frame of its parts.
func Append(dst []byte, h Head, meta Meta, body []byte) []byte {
	dst = append(appendHead(dst, h, len(meta)), meta...)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(body))), body...)
}

// AppendHeartbeat appends a heartbeat, or the answer to one, which has its id.
func AppendHeartbeat(dst []byte, id uint64, answer bool) []byte {
	h := Head{ID: id, Type: TypeHeartbeat, Serialization: 1} // as Java Motan writes it
	if answer {
		h.Type |= TypeResponse
	}
	return Append(dst, h, nil, nil)
}
