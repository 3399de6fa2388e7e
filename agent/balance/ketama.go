package balance

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Points of a server on the ring when all servers have the same weight, and how many of them one MD5 yields.
const (
	pointsPerServer = 160
	pointsPerHash   = 4
)

// ring is the ketama continuum: a key belongs to the first point at or after its hash, and after the last point to the
// first.
type ring struct {
	list
	points []uint32 // sorted
	owners []uint32 // entry of each point
}

// newRing lays the points out as twemproxy's nc_ketama.c does, in its single-precision arithmetic, because a rounding
// that differs by one moves keys.
func newRing(l list) *ring {
	r := &ring{list: l}
	total := float32(0)
	for i := range l.entries {
		total += float32(l.entries[i].weight)
	}
	type point struct{ at, owner uint32 }
	var points []point
	for i := range l.entries {
		share := float32(l.entries[i].weight) / total
		scaled := share * pointsPerServer / pointsPerHash * float32(len(l.entries))
		hashes := int(math.Floor(float64(float32(float64(scaled) + 0.0000000001))))
		name := ringName(l.entries[i].node.Endpoint.Address)
		for h := range hashes {
			sum := md5.Sum([]byte(name + "-" + strconv.Itoa(h)))
			for p := range pointsPerHash {
				points = append(points, point{binary.LittleEndian.Uint32(sum[p*4:]), uint32(i)})
			}
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		if c := cmp.Compare(a.at, b.at); c != 0 {
			return c
		}
		return cmp.Compare(a.owner, b.owner)
	})
	for _, p := range points {
		r.points = append(r.points, p.at)
		r.owners = append(r.owners, p.owner)
	}
	return r
}

// ringName is the name under which a server is hashed: its address, without the port when that is memcached's own, as
// libmemcached began and others kept.
func ringName(address string) string {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return path
	}
	return strings.TrimSuffix(address, ":11211")
}

func (r *ring) Pick(key uint64, now int64, avoid *Node) *Node {
	n := len(r.points)
	if n == 0 {
		return r.pointless(avoid)
	}
	hash := uint32(key)
	low, high := 0, n
	for low < high {
		mid := int(uint(low+high) >> 1)
		if r.points[mid] < hash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	// The node to avoid is stepped over, so that its keys go where they would go if it were not on the ring.
	for i := range n {
		at := low + i
		if at >= n {
			at -= n
		}
		if node := r.entries[r.owners[at]].node; node != avoid {
			return node
		}
	}
	return r.pointless(avoid)
}

// pointless finds a node when the ring has none to offer: some weights are so small that they are rounded to no point.
func (r *ring) pointless(avoid *Node) *Node {
	if len(r.entries) == 0 {
		return nil
	}
	return r.rest(0, avoid)
}

// FNV1a64 is the key hash that twemproxy calls fnv1a_64 and uses by default: FNV-1a with the 64-bit constants cut to
// 32 bits, over signed bytes. It is not the FNV-1a that others know, but it is where the keys are.
func FNV1a64(key []byte) uint32 {
	const offset, prime = uint32(0xcbf29ce484222325 & 0xffffffff), uint32(0x100000001b3 & 0xffffffff)
	h := offset
	for _, b := range key {
		h ^= uint32(int32(int8(b)))
		h *= prime
	}
	return h
}

// MD5 is the key hash that twemproxy calls md5: the first four bytes of the digest, lowest first.
func MD5(key []byte) uint32 {
	sum := md5.Sum(key)
	return binary.LittleEndian.Uint32(sum[:])
}
