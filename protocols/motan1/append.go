package motan1

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Attachment is an attachment of a request that is to be written.
type Attachment struct{ Key, Value string }

// Call is a request that is to be written.
type Call struct {
	Interface string
	Method    string
	Desc      string   // Java's names of the parameters' types with commas between; "void" if there are none
	Args      [][]byte // what another serialization wrote; nil is null
	// Attachments are written in their order.
	Attachments []Attachment
}

// AppendRequest appends a request in version Plain. The error wraps ErrUnsupported: a string has more than 65,535 bytes, or
// the frame more than 2 GiB.
func AppendRequest(dst []byte, id uint64, c Call) ([]byte, error) {
	size := 4
	for _, a := range c.Attachments {
		if err := checkUTF(a.Key, a.Value); err != nil {
			return dst, err
		}
		size += 4 + utfLen(a.Key) + utfLen(a.Value)
	}
	if err := checkUTF(c.Interface, c.Method, c.Desc); err != nil {
		return dst, err
	}
	w := begin(dst, Plain, KindRequest, id)
	names := 6 + utfLen(c.Interface) + utfLen(c.Method) + utfLen(c.Desc)
	if len(c.Args) == 0 {
		names += size
	}
	w.data(names)
	w.utf(c.Interface)
	w.utf(c.Method)
	w.utf(c.Desc)
	if len(c.Args) > 0 {
		for _, arg := range c.Args {
			if arg == nil {
				w.dst = append(w.dst, tokenNull)
			} else {
				w.array(arg)
			}
		}
		w.data(size)
	}
	w.write(binary.BigEndian.AppendUint32(w.room[:0], uint32(len(c.Attachments))))
	for _, a := range c.Attachments {
		w.utf(a.Key)
		w.utf(a.Value)
	}
	return w.finish(dst)
}

// AppendVoid appends a response without a value: null, or that of a void method. ms is the time that the call took.
func AppendVoid(dst []byte, v Version, id uint64, ms int64) []byte {
	w := begin(dst, v, KindVoid, id)
	w.data(8)
	w.write(binary.BigEndian.AppendUint64(w.room[:0], uint64(ms)))
	out, _ := w.finish(dst) // far from too long
	return out
}

// AppendValue appends a response: what another serialization wrote, and its Java class. A compressed one has no
// attachments. The error wraps ErrUnsupported: the class has more than 65,535 bytes, or the frame more than 2 GiB.
func AppendValue(dst []byte, v Version, id uint64, ms int64, class string, value []byte) ([]byte, error) {
	kind := KindValue
	if v == Compress {
		kind = KindAttachment
	}
	return appendObject(dst, v, kind, id, ms, class, value)
}

// appendObject appends a response with a value.
func appendObject(dst []byte, v Version, kind Kind, id uint64, ms int64, class string, value []byte) ([]byte, error) {
	if err := checkUTF(class); err != nil {
		return dst, err
	}
	w := begin(dst, v, kind, id)
	w.data(8 + 2 + utfLen(class))
	w.write(binary.BigEndian.AppendUint64(w.room[:0], uint64(ms)))
	w.utf(class)
	w.array(value)
	if kind == KindAttachment {
		w.data(2)
		w.write([]byte{0, 0})
	}
	return w.finish(dst)
}

// heartbeatValue is "heartbeat" in Hessian.
const heartbeatValue = "\x09heartbeat"

// AppendHeartbeat appends the request of a heartbeat, which is always in version Plain.
func AppendHeartbeat(dst []byte, id uint64) []byte {
	out, _ := AppendRequest(dst, id, Call{Interface: HeartbeatInterface, Method: HeartbeatMethod, Desc: heartbeatDesc})
	return out
}

// AppendHeartbeatReply appends what answers a heartbeat. Its value is in Hessian; Java does not look at it.
func AppendHeartbeatReply(dst []byte, id uint64) []byte {
	out, _ := AppendValue(dst, Plain, id, 0, "java.lang.String", []byte(heartbeatValue))
	return out
}

// writer writes a frame. Data must be announced by its length, since that is in the head of its blocks.
type writer struct {
	dst       []byte
	at        int // where the frame begins
	left      int // bytes of data that were announced and are not written
	block     int // of these, bytes in the block that has begun
	described bool
	room      [16]byte // for numbers, so that writing them takes no memory
	buf       []byte   // for strings
}

// begin writes the headers but for the lengths, and how a body begins.
func begin(dst []byte, v Version, k Kind, id uint64) *writer {
	w := &writer{at: len(dst)}
	kind := byte(1)
	if k == KindRequest {
		kind = 0
	}
	dst = append(dst, outerMagic>>8, outerMagic&0xff, 0, kind)
	dst = append(binary.BigEndian.AppendUint64(dst, id), 0, 0, 0, 0)
	dst = append(dst, innerMagic>>8, innerMagic&0xff, byte(v), byte(k))
	dst = append(binary.BigEndian.AppendUint64(dst, id), 0, 0, 0, 0)
	w.dst = append(dst, streamMagic...)
	return w
}

// data announces n bytes of data.
func (w *writer) data(n int) { w.left, w.block = n, 0 }

// write writes some of the data.
func (w *writer) write(p []byte) {
	for len(p) > 0 {
		if w.block == 0 {
			w.block = min(w.left, maxBlock)
			if w.block <= math.MaxUint8 {
				w.dst = append(w.dst, tokenBlock, byte(w.block))
			} else {
				w.dst = binary.BigEndian.AppendUint32(append(w.dst, tokenBlockLong), uint32(w.block))
			}
		}
		n := min(len(p), w.block)
		w.dst = append(w.dst, p[:n]...)
		p = p[n:]
		w.block -= n
		w.left -= n
	}
}

func (w *writer) utf(s string) {
	w.buf = appendUTF(w.buf[:0], s)
	w.write(w.buf)
}

// array writes a byte array.
func (w *writer) array(b []byte) {
	class := byteArrayClass
	if w.described {
		class = byteArrayReference
	}
	w.described = true
	w.dst = append(append(w.dst, tokenArray), class...)
	w.dst = append(binary.BigEndian.AppendUint32(w.dst, uint32(len(b))), b...)
}

// finish writes the lengths. before is what there was without the frame.
func (w *writer) finish(before []byte) ([]byte, error) {
	n := len(w.dst) - w.at - outerLen
	if n > math.MaxInt32 {
		return before, fmt.Errorf("%w: frame of %d bytes, most are %d", ErrUnsupported, n, math.MaxInt32)
	}
	binary.BigEndian.PutUint32(w.dst[w.at+12:], uint32(n))
	binary.BigEndian.PutUint32(w.dst[w.at+outerLen+12:], uint32(n-(HeaderLen-outerLen)))
	return w.dst, nil
}
