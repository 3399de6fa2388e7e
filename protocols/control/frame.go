package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of a frame's payload. What an agent sends is small; what a centre sends may be all resources of an agent at once.
const (
	MaxToCenter = 4 << 20
	MaxToAgent  = 64 << 20
)

const (
	headSize = 5        // length and type
	ahead    = 64 << 10 // most that is allocated before the bytes for it came
	keep     = 1 << 20  // a buffer that grew larger than this is given back after its frame
)

// ErrTooLarge is wrapped by errors about frames that exceed what a side takes.
var ErrTooLarge = errors.New("too large")

// AppendFrame appends a frame to dst. The payload must be shorter than 4 GiB; the reader's bound is far lower.
func AppendFrame(dst []byte, t Type, payload []byte) []byte {
	if uint64(len(payload)) >= math.MaxUint32 {
		panic("control: a frame of 4 GiB or more")
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(1+len(payload)))
	dst = append(dst, byte(t))
	return append(dst, payload...)
}

// SetLength writes the length of a frame that was begun by AppendFrame and appended to since, and is all of b.
func SetLength(b []byte) {
	if len(b) < headSize || uint64(len(b)) > math.MaxUint32 {
		panic("control: SetLength of what is no frame")
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-headSize+1))
}

// AppendMessage appends a frame with a message as JSON. A payload longer than max, which is MaxToCenter or MaxToAgent, is
// refused with [ErrTooLarge], and dst is returned as it was.
func AppendMessage(dst []byte, t Type, message any, max int) ([]byte, error) {
	payload, err := json.Marshal(message)
	if err != nil {
		return dst, fmt.Errorf("%s: %w", t, err)
	}
	if len(payload) > max {
		return dst, fmt.Errorf("%s of %d bytes is %w: the other side takes %d", t, len(payload), ErrTooLarge, max)
	}
	return AppendFrame(dst, t, payload), nil
}

// Decode reads the message of a frame. Keys that the message does not have are ignored: see the package's invariants.
func Decode(t Type, payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	return nil
}

// Reader reads frames. It belongs to one goroutine.
type Reader struct {
	in   io.Reader
	max  int
	head [headSize]byte
	body []byte
}

// NewReader returns a reader of frames whose payloads have at most max bytes.
func NewReader(in io.Reader, max int) *Reader { return &Reader{in: in, max: max} }

// Next returns the next frame. The payload is valid until the next call. At the end of the stream the error is io.EOF
// between two frames and wraps io.ErrUnexpectedEOF within one; other errors of the stream are wrapped. After an error the
// stream cannot be read on.
func (r *Reader) Next() (Type, []byte, error) {
	if n, err := io.ReadFull(r.in, r.head[:]); err != nil {
		if n == 0 {
			return 0, nil, err
		}
		return 0, nil, fmt.Errorf("%d of the %d bytes that begin a frame: %w", n, headSize, err)
	}
	length, t := binary.BigEndian.Uint32(r.head[:]), Type(r.head[4])
	if length == 0 {
		return 0, nil, errors.New("a frame of length 0: it needs a type at least")
	}
	size := int64(length) - 1
	if size > int64(r.max) {
		return 0, nil, fmt.Errorf("%s of %d bytes is %w: at most %d are taken", t, size, ErrTooLarge, r.max)
	}
	if err := r.fill(int(size)); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", t, err)
	}
	return t, r.body, nil
}

// fill reads a payload of size bytes into body. One that has no room yet gets it when its bytes are there: till then they
// are in pieces.
func (r *Reader) fill(size int) error {
	if cap(r.body) > keep {
		r.body = nil
	}
	if size <= max(ahead, cap(r.body)) {
		if size > cap(r.body) {
			r.body = make([]byte, size)
		}
		r.body = r.body[:size]
		if n, err := io.ReadFull(r.in, r.body); err != nil {
			return fmt.Errorf("%d of %d bytes: %w", n, size, within(err))
		}
		return nil
	}
	r.body = r.body[:0]
	var pieces [][]byte
	for left := size; left > 0; {
		piece := make([]byte, min(left, ahead))
		n, err := io.ReadFull(r.in, piece)
		if err != nil {
			return fmt.Errorf("%d of %d bytes: %w", size-left+n, size, within(err))
		}
		pieces, left = append(pieces, piece), left-n
	}
	r.body = make([]byte, 0, size)
	for _, piece := range pieces {
		r.body = append(r.body, piece...)
	}
	return nil
}

// within turns the end of the stream into an error: it is not one between two frames only.
func within(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
