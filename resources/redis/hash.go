package redis

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// hashFast is for balancing and shares, where any good hash will do.
func hashFast(key []byte) uint64 { return xxhash.Sum64(key) }

// hashFNV is what twemproxy calls fnv1a_64, its default: FNV-1a with the 64-bit constants cut to 32 bits. Keys of an
// existing twemproxy pool stay where they are.
func hashFNV(key []byte) uint64 {
	const offset, prime = uint32(0xcbf29ce484222325 & 0xffffffff), uint32(0x100000001b3 & 0xffffffff)
	h := offset
	for _, b := range key {
		h = (h ^ uint32(b)) * prime
	}
	return uint64(h)
}

// tagged returns what of a key is hashed in a hashed pool: what stands between the two characters of tag, if anything.
func tagged(key []byte, tag string) []byte {
	if tag == "" {
		return key
	}
	i := bytes.IndexByte(key, tag[0])
	if i < 0 {
		return key
	}
	j := bytes.IndexByte(key[i+1:], tag[1])
	if j <= 0 {
		return key
	}
	return key[i+1 : i+1+j]
}
