package motanurl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// What a serialised java.lang.String starts with (Java Object Serialization Specification, chapter 6).
const (
	streamMagic   = 0xaced
	streamVersion = 5
	tcString      = 0x74 // a length of 2 bytes follows
	tcLongString  = 0x7c // a length of 8 bytes follows
)

// Text returns what a registry keeps as text: bytes that start as a Java object stream are read as one serialised string, all
// others are the text themselves. The error is for a stream that holds something else, or whose length is wrong.
func Text(data []byte) (string, error) {
	if len(data) < 2 || binary.BigEndian.Uint16(data) != streamMagic {
		return string(data), nil
	}
	if len(data) < 5 || binary.BigEndian.Uint16(data[2:]) != streamVersion {
		return "", errors.New("a Java object stream that is cut short or of another version")
	}
	var n uint64
	rest := data[5:]
	switch tag := data[4]; {
	case tag == tcString && len(rest) >= 2:
		n, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
	case tag == tcLongString && len(rest) >= 8:
		n, rest = binary.BigEndian.Uint64(rest), rest[8:]
	default:
		return "", fmt.Errorf("a Java object stream that holds no string (tag %#x)", tag)
	}
	if n != uint64(len(rest)) {
		return "", fmt.Errorf("a Java string of %d bytes in a stream that has %d", n, len(rest))
	}
	return modifiedUTF8(rest)
}

// modifiedUTF8 reads Java's own form of UTF-8 (java.io.DataInput): NUL is written in two bytes, and what lies beyond the
// first 65,536 characters as two surrogates of three bytes each. A surrogate that is alone becomes U+FFFD.
func modifiedUTF8(b []byte) (string, error) {
	out := make([]byte, 0, len(b))
	pending := rune(-1) // a first surrogate that waits for its second
	put := func(r rune) {
		if pending >= 0 {
			if pair := utf16.DecodeRune(pending, r); pair != utf8.RuneError {
				out, pending = utf8.AppendRune(out, pair), -1
				return
			}
			out, pending = utf8.AppendRune(out, utf8.RuneError), -1
		}
		if utf16.IsSurrogate(r) {
			pending = r
			return
		}
		out = utf8.AppendRune(out, r)
	}
	for i := 0; i < len(b); {
		r, size := javaRune(b[i:])
		if size == 0 {
			return "", fmt.Errorf("byte %d of a Java string is no character", i)
		}
		put(r)
		i += size
	}
	if pending >= 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return string(out), nil
}

// javaRune reads one UTF-16 unit in one to three bytes; its size is 0 when there is none.
func javaRune(b []byte) (r rune, size int) {
	next := func(i int) (rune, bool) {
		if i >= len(b) || b[i]&0xc0 != 0x80 {
			return 0, false
		}
		return rune(b[i] & 0x3f), true
	}
	switch c := b[0]; {
	case c < 0x80:
		return rune(c), 1
	case c&0xe0 == 0xc0:
		if low, ok := next(1); ok {
			return rune(c&0x1f)<<6 | low, 2
		}
	case c&0xf0 == 0xe0:
		mid, ok1 := next(1)
		low, ok2 := next(2)
		if ok1 && ok2 {
			return rune(c&0x0f)<<12 | mid<<6 | low, 3
		}
	}
	return 0, 0
}
