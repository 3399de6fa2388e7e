package sql

import (
	"encoding/binary"
	"math/bits"
)

// The digest's hash runs over tokens. Each token is a sequence of eight-byte words, little endian, the last one filled
// up with zeros, and a tag of its type and length that goes in with the last word.

const (
	hashSeed = 0x9e3779b97f4a7c15
	hashMul  = 0xd6e8feb86659fd93
	hashTag  = 0xa0761d6478bd642f
)

// mix adds w and tag to h. h itself goes in once more beside the product, so that no word can wipe out what was there.
func mix(h, w, tag uint64) uint64 {
	hi, lo := bits.Mul64(h^w^hashSeed, tag*hashTag+hashMul)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}

// tagOf makes the tag of a token's last word.
func tagOf(k tokKind, n int) uint64 { return uint64(k)<<40 | uint64(n) }

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// lower8 turns the upper-case ASCII letters among eight bytes into lower case.
func lower8(w uint64) uint64 {
	low := w &^ highs
	fromA := low + (0x80-'A')*ones
	aboveZ := low + (0x7f-'Z')*ones
	return w | (fromA&^aboveZ&^w&highs)>>2
}

// load returns the n bytes of text from i as a word, n from 0 to 8, without reading behind the text.
func load(text []byte, i, n int) uint64 {
	switch {
	case i+8 <= len(text):
		w := binary.LittleEndian.Uint64(text[i:])
		return w & (1<<(8*uint(n)) - 1) // a shift by 64 gives 0, and 0-1 all ones
	case i+n >= 8:
		return binary.LittleEndian.Uint64(text[i+n-8:]) >> (64 - 8*uint(n))
	}
	var w uint64
	for j := range n {
		w |= uint64(text[i+j]) << (8 * j)
	}
	return w
}

// hashSpan adds text[i:i+n] to h as one token of type k; fold ignores the case of ASCII letters.
func hashSpan(h uint64, text []byte, i, n int, k tokKind, fold bool) uint64 {
	tag := tagOf(k, n)
	for ; n > 8; i, n = i+8, n-8 {
		w := binary.LittleEndian.Uint64(text[i:])
		if fold {
			w = lower8(w)
		}
		h = mix(h, w, 0)
	}
	w := load(text, i, n)
	if fold {
		w = lower8(w)
	}
	return mix(h, w, tag)
}

// hasher builds a token's words from single bytes, with the same result as hashSpan.
type hasher struct {
	h, w uint64
	n    int
}

// add adds one byte.
func (s *hasher) add(c byte) {
	if s.n > 0 && s.n&7 == 0 {
		s.h = mix(s.h, s.w, 0)
		s.w = 0
	}
	s.w |= uint64(c) << (8 * (s.n & 7))
	s.n++
}

// sum ends the token.
func (s *hasher) sum(k tokKind) uint64 { return mix(s.h, s.w, tagOf(k, s.n)) }
