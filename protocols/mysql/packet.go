package mysql

import "encoding/binary"

const (
	// HeaderLen is the length of a packet's header: 3 bytes of payload length, low byte first, and the sequence id.
	HeaderLen = 4
	// MaxPayload is the largest payload of one frame. A packet with as many bytes goes on in the next frame, which may
	// be empty.
	MaxPayload = 1<<24 - 1
)

// First bytes of the packets that a server sends. What they mean depends on where in a reply they stand.
const (
	headOK       = 0x00
	headAuthMore = 0x01
	headInfile   = 0xfb
	headEOF      = 0xfe // also an OK packet that ends a result, and an AuthSwitch
	headERR      = 0xff
)

// Header reads the frame header at the front of b, which has at least [HeaderLen] bytes.
func Header(b []byte) (length int, seq byte) {
	h := binary.LittleEndian.Uint32(b)
	return int(h & MaxPayload), byte(h >> 24)
}

// AppendHeader appends a frame header. length is 0 to [MaxPayload].
func AppendHeader(dst []byte, length int, seq byte) []byte {
	return append(dst, byte(length), byte(length>>8), byte(length>>16), seq)
}

// AppendPacket appends payload as a packet whose first frame has the sequence id seq, and returns the id of the frame
// that would follow. A payload of 16 MiB - 1 or more is split; one whose length is a multiple of [MaxPayload] ends with
// an empty frame, as the receiver otherwise waits for more.
func AppendPacket(dst []byte, seq byte, payload []byte) (out []byte, next byte) {
	for {
		n := min(len(payload), MaxPayload)
		dst = AppendHeader(dst, n, seq)
		dst = append(dst, payload[:n]...)
		payload = payload[n:]
		seq++
		if n < MaxPayload {
			return dst, seq
		}
	}
}

// closePacket writes the header of the packet whose header begins at dst[at]; everything behind it is its payload. The
// caller knows that the payload is shorter than [MaxPayload].
func closePacket(dst []byte, at int, seq byte) {
	AppendHeader(dst[at:at], len(dst)-at-HeaderLen, seq)
}

// AppendLenencInt appends v as a length-encoded integer of 1, 3, 4 or 9 bytes.
func AppendLenencInt(dst []byte, v uint64) []byte {
	switch {
	case v < 0xfb:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(dst, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), v)
}

// AppendLenencString appends s with its length as a length-encoded integer in front.
func AppendLenencString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(AppendLenencInt(dst, uint64(len(s))), s...)
}

// LenencInt reads the length-encoded integer at the front of b. n is its length in bytes, 0 if b is too short or begins
// with 0xfb (NULL) or 0xff, which are no integers.
func LenencInt(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch c := b[0]; {
	case c < 0xfb:
		return uint64(c), 1
	case c == 0xfc && len(b) >= 3:
		return uint64(b[1]) | uint64(b[2])<<8, 3
	case c == 0xfd && len(b) >= 4:
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case c == 0xfe && len(b) >= 9:
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return 0, 0
}

// LenencString returns the length-encoded string at the front of b as a part of b. n is its length together with that
// of its length, 0 if b does not hold all of it.
func LenencString(b []byte) (s []byte, n int) {
	v, n := LenencInt(b)
	if n == 0 || v > uint64(len(b)-n) {
		return nil, 0
	}
	end := n + int(v)
	return b[n:end:end], end
}
