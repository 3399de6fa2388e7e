package mysql

import (
	"bytes"
	"hash/crc32"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// padding fills values; it has the bytes that quoting must get right.
var padding = bytes.Repeat([]byte("abcdefghijklm'\"\\\x00\n\r\x1a%_;?`-- "), 30)

// crcWidth is the length of "xxxxxxxx|".
const crcWidth = 9

// appendValue appends the value that belongs to a key, client and sequence, padded to size bytes.
func appendValue(dst []byte, key string, client int, seq uint64, size int) []byte {
	start := len(dst)
	dst = append(dst, key...)
	dst = append(dst, '|')
	dst = strconv.AppendInt(dst, int64(client), 10)
	dst = append(dst, '|')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '|')
	crcAt := len(dst) - start
	dst = append(dst, "00000000|"...)
	for from := int(seq % 26); len(dst)-start < size; from = 0 {
		dst = append(dst, padding[from:min(len(padding), from+size-(len(dst)-start))]...)
	}
	v := dst[start:]
	putHex(v[crcAt:crcAt+8], checksum(v, crcAt))
	return dst
}

// checksum covers a value but for the checksum's own place.
func checksum(v []byte, at int) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, v[:at]), castagnoli, v[at+crcWidth:])
}

func putHex(dst []byte, n uint32) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

// readValue takes a value apart. sound is false for what appendValue does not write.
func readValue(v []byte) (key []byte, client int, seq uint64, sound bool) {
	key, rest, ok1 := bytes.Cut(v, []byte("|"))
	number, rest, ok2 := bytes.Cut(rest, []byte("|"))
	sequence, rest, ok3 := bytes.Cut(rest, []byte("|"))
	if !ok1 || !ok2 || !ok3 || len(rest) < crcWidth || rest[crcWidth-1] != '|' {
		return nil, 0, 0, false
	}
	client, err1 := strconv.Atoi(string(number))
	seq, err2 := strconv.ParseUint(string(sequence), 10, 64)
	var want [8]byte
	putHex(want[:], checksum(v, len(v)-len(rest)))
	return key, client, seq, err1 == nil && err2 == nil && bytes.Equal(want[:], rest[:8])
}
