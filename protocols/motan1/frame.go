package motan1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// HeaderLen is the length of both headers, in bytes.
const HeaderLen = 32

const (
	outerLen   = 16
	outerMagic = 0xf1f1
	innerMagic = 0xf0f0
)

// DefaultMaxLength is what Motan takes at most behind the transport's header, in bytes.
const DefaultMaxLength = 10 << 20

// Version is the version of the codec that wrote a frame.
type Version byte

const (
	Plain    Version = 1
	Compress Version = 2 // see the package comment: names may be missing
)

// Kind is what a frame is.
type Kind byte

const (
	KindRequest    Kind = 0x00
	KindValue      Kind = 0x01 // a response
	KindVoid       Kind = 0x03 // a response without a value: null, or of a void method
	KindException  Kind = 0x05
	KindAttachment Kind = 0x07 // a response with attachments; of Compress alone
)

// String returns the kind in a word.
func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "request"
	case KindValue:
		return "response"
	case KindVoid:
		return "void"
	case KindException:
		return "exception"
	case KindAttachment:
		return "response with attachments"
	}
	return "kind " + strconv.Itoa(int(k))
}

var (
	// ErrMalformed is wrapped by every error about bytes that are not what they should be.
	ErrMalformed = errors.New("motan1: malformed")
	// ErrTooLarge is wrapped by the error about a frame that is longer than allowed.
	ErrTooLarge = errors.New("motan1: frame too large")
	// ErrUnsupported is wrapped by errors about what cannot be written.
	ErrUnsupported = errors.New("motan1: cannot be written")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// Header is what the two headers of a frame say.
type Header struct {
	Size    int // bytes of the frame, headers included
	ID      uint64
	Version Version
	Kind    Kind
}

// Scan looks for a frame at the start of buf, at whose first four bytes something has told that it is of Motan1. With ok
// the first Size bytes are the frame; without, and without an error, there is more to come. maxLength is what the
// transport's header may declare at most, in bytes; 0 means DefaultMaxLength. No byte is looked at but those of the
// headers.
//
// After an error the connection must be closed, since nothing says where the next frame begins. With ErrTooLarge the
// header's ID is right, and its Kind tells whether it is a request, so that it can be answered first.
func Scan(buf []byte, maxLength int) (h Header, ok bool, err error) {
	if maxLength <= 0 {
		maxLength = DefaultMaxLength
	}
	if len(buf) < 4 {
		return Header{}, false, nil
	}
	if binary.BigEndian.Uint16(buf) != outerMagic || buf[2] != 0 || buf[3] > 1 {
		return Header{}, false, malformed("frame begins with % x", buf[:4])
	}
	if len(buf) < outerLen {
		return Header{}, false, nil
	}
	h.ID, h.Kind = binary.BigEndian.Uint64(buf[4:]), Kind(buf[3])
	length := uint64(binary.BigEndian.Uint32(buf[12:]))
	if length < HeaderLen-outerLen {
		return Header{}, false, malformed("length %d, less than that of a header", length)
	}
	if length > uint64(maxLength) {
		return h, false, fmt.Errorf("%w: %d bytes, most are %d", ErrTooLarge, length, maxLength)
	}
	if len(buf) < HeaderLen {
		return Header{}, false, nil
	}
	if err := h.inner(buf[:HeaderLen]); err != nil {
		return Header{}, false, err
	}
	h.Size = outerLen + int(length)
	if len(buf) < h.Size {
		return Header{}, false, nil
	}
	return h, true, nil
}

// inner reads the codec's header; what stands in both must be the same.
func (h *Header) inner(buf []byte) error {
	in := buf[outerLen:]
	request := buf[3] == 0
	h.Version, h.Kind = Version(in[2]), Kind(in[3])
	if binary.BigEndian.Uint16(in) != innerMagic {
		return malformed("codec's header begins with % x", in[:2])
	}
	switch {
	case h.Version != Plain && h.Version != Compress:
		return malformed("codec version %d", h.Version)
	case h.Kind == KindRequest && request:
	case (h.Kind == KindValue || h.Kind == KindVoid || h.Kind == KindException) && !request:
	case h.Kind == KindAttachment && !request && h.Version == Compress:
	default:
		return malformed("%s in version %d under a header of type %d", h.Kind, h.Version, buf[3])
	}
	if id := binary.BigEndian.Uint64(in[4:]); id != h.ID {
		return malformed("two ids, %d and %d", h.ID, id)
	}
	outer, inner := binary.BigEndian.Uint32(buf[12:]), binary.BigEndian.Uint32(in[12:])
	if outer-(HeaderLen-outerLen) != inner {
		return malformed("length %d around length %d", outer, inner)
	}
	return nil
}

// SetID writes another id into both headers of a frame that Scan has found.
func SetID(frame []byte, id uint64) {
	_ = frame[HeaderLen-1]
	binary.BigEndian.PutUint64(frame[4:], id)
	binary.BigEndian.PutUint64(frame[outerLen+4:], id)
}
