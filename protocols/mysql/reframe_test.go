package mysql

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestReframer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const at = 14
	pattern := bytes.Repeat([]byte("what a frame ends with is not what it begins with"), 800000)
	for _, extra := range []int{1, 300, 131070} {
		put := bytes.Repeat([]byte{0xee}, extra)
		for _, size := range []int{at, 100, MaxPayload - extra - 1, MaxPayload - extra, MaxPayload - 1, MaxPayload, MaxPayload + 1,
			2*MaxPayload - extra - 1, 2*MaxPayload - extra, 2 * MaxPayload, 2*MaxPayload + 70000} {
			payload := pattern[:size]
			stream, frames := AppendPacket(nil, 0, payload)
			want, most := AppendPacket(nil, 0, append(append(append([]byte(nil), payload[:at]...), put...), payload[at:]...))
			r := Reframer{Extra: extra}
			begin := append(append([]byte(nil), stream[:HeaderLen+at]...), put...)
			got, err := r.Append(nil, begin)
			for rest := stream[HeaderLen+at:]; err == nil && len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(100000))
				if rng.IntN(8) == 0 {
					n = 1
				}
				got, err = r.Append(got, rest[:n])
				rest = rest[n:]
				if len(r.held) > extra {
					t.Fatalf("%d bytes in %d: %d bytes are held", extra, size, len(r.held))
				}
			}
			if most != frames {
				if !errors.Is(err, ErrMoreFrames) {
					t.Errorf("%d bytes in %d: error %v, want %v", extra, size, err, ErrMoreFrames)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in %d: %d bytes, want %d; error %v", extra, size, len(got), len(want), err)
			}
			if _, err := r.Append(nil, []byte{1}); !errors.Is(err, ErrMalformed) {
				t.Errorf("%d bytes in %d: a byte behind the end: %v", extra, size, err)
			}
		}
	}
}
