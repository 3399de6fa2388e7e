package motan1

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// utfLen returns how many bytes s has in Java's modified UTF-8: NUL has two, and what is beyond U+FFFF two times three. A
// byte that is no UTF-8 becomes U+FFFD.
func utfLen(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r == 0:
			n += 2
		case r > 0xffff:
			n += 6
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
}

// appendUTF appends s with its length.
func appendUTF(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(utfLen(s)))
	for _, r := range s {
		if r == 0 {
			dst = append(dst, 0xc0, 0x80)
		} else {
			dst = appendSurrogates(dst, r)
		}
	}
	return dst
}

// appendSurrogates appends r as UTF-8; what is beyond U+FFFF as the UTF-8 of its two surrogates.
func appendSurrogates(dst []byte, r rune) []byte {
	if r <= 0xffff {
		return utf8.AppendRune(dst, r)
	}
	high, low := utf16.EncodeRune(r)
	for _, u := range []rune{high, low} {
		dst = append(dst, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0x3f, 0x80|byte(u)&0x3f)
	}
	return dst
}

// checkUTF tells whether strings can be written: their length has two bytes.
func checkUTF(strs ...string) error {
	for _, s := range strs {
		if n := utfLen(s); n > math.MaxUint16 {
			return fmt.Errorf("%w: string of %d bytes, most are %d", ErrUnsupported, n, math.MaxUint16)
		}
	}
	return nil
}

// AppendUTF8 appends as UTF-8 what a frame has in Java's modified UTF-8, where NUL is c0 80 and a character beyond U+FFFF
// the two surrogates of UTF-16 with three bytes each. What is neither becomes U+FFFD.
func AppendUTF8(dst, s []byte) []byte {
	for len(s) > 0 {
		if len(s) >= 2 && s[0] == 0xc0 && s[1] == 0x80 {
			dst, s = append(dst, 0), s[2:]
			continue
		}
		if high, ok := surrogate(s); ok {
			if low, ok := surrogate(s[3:]); ok {
				if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
					dst, s = utf8.AppendRune(dst, r), s[6:]
					continue
				}
			}
			dst, s = utf8.AppendRune(dst, utf8.RuneError), s[3:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		dst, s = utf8.AppendRune(dst, r), s[n:]
	}
	return dst
}

// surrogate reads a surrogate in three bytes.
func surrogate(s []byte) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}
