package load

import (
	"bytes"
	"hash/crc32"
	"math"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// padding is what values are filled with; it starts at an offset that depends on the sequence.
var padding = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 40)

// AppendValue appends the value that belongs to a key, client and sequence, filled up to size bytes from filling, which has
// at least 26 of them.
func AppendValue[K ~string | ~[]byte](dst []byte, key K, client int, seq uint64, size int, filling []byte) []byte {
	start := len(dst)
	dst = append(dst, key...)
	dst = append(dst, '|')
	dst = strconv.AppendInt(dst, int64(client), 10)
	dst = append(dst, '|')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '|')
	crcAt := len(dst)
	dst = append(dst, "00000000|"...)
	for from := int(seq % 26); len(dst)-start < size; from = 0 {
		dst = append(dst, filling[from:min(len(filling), from+size-(len(dst)-start))]...)
	}
	putHex(dst[crcAt:], checksum(dst[start:], crcAt-start))
	return dst
}

// checksum covers a value without the eight digits at offset at.
func checksum(value []byte, at int) uint32 {
	c := crc32.Update(0, castagnoli, value[:at])
	return crc32.Update(c, castagnoli, value[at+8:])
}

func putHex(dst []byte, n uint32) {
	for i := 7; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

// verdict is what is wrong with a value.
type verdict uint8

const (
	valueOK      verdict = iota
	valueBroken          // no value of this package, or damaged
	valueForeign         // a sound value of another key or client
)

// readValue takes a value apart and checks that it is sound and belongs to key and client.
func readValue(v, key []byte, client int) (seq uint64, what verdict) {
	own, owner, seq, sound := CutValue(v)
	switch {
	case !sound:
		return 0, valueBroken
	case !bytes.Equal(own, key) || owner != client:
		return seq, valueForeign
	}
	return seq, valueOK
}

// CutValue takes a value apart. sound is false for what AppendValue does not write.
func CutValue(v []byte) (key []byte, client int, seq uint64, sound bool) {
	i := bytes.IndexByte(v, '|')
	if i < 0 {
		return nil, 0, 0, false
	}
	owner, n, ok := readNumber(v, i+1)
	if !ok || owner > math.MaxInt32 {
		return nil, 0, 0, false
	}
	seq, n, ok = readNumber(v, n)
	if !ok || len(v) < n+9 || v[n+8] != '|' {
		return nil, 0, 0, false
	}
	var want [8]byte
	putHex(want[:], checksum(v, n))
	return v[:i], int(owner), seq, bytes.Equal(want[:], v[n:n+8])
}

// readNumber reads decimal digits up to '|' and returns the offset behind it.
func readNumber(v []byte, at int) (n uint64, next int, ok bool) {
	for i := at; i < len(v) && i < at+20; i++ {
		c := v[i]
		if c == '|' {
			return n, i + 1, i > at
		}
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, 0, false
}
