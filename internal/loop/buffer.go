package loop

import "math/bits"

const (
	minClass = 9       // 512 B
	maxClass = 19      // 512 KiB, which a connection at its high-water mark needs; larger buffers go to the garbage collector
	keepCap  = 4 << 10 // an empty connection keeps a buffer up to this size
	perClass = 64      // buffers that a loop keeps of each size
)

// pool keeps a loop's buffers by size, a power of two. It needs no lock: only its loop uses it. Small buffers, which
// every busy connection has, are reused at once; large ones are rare and few are kept.
type pool struct {
	free [maxClass + 1][][]byte
}

func class(n int) int { return max(minClass, bits.Len(uint(max(n, 1)-1))) }

// get returns an empty buffer with room for n bytes.
func (p *pool) get(n int) []byte {
	k := class(n)
	if k > maxClass {
		return make([]byte, 0, n)
	}
	if f := p.free[k]; len(f) > 0 {
		b := f[len(f)-1]
		f[len(f)-1] = nil
		p.free[k] = f[:len(f)-1]
		return b
	}
	return make([]byte, 0, 1<<k)
}

// put takes a buffer back; nil is fine.
func (p *pool) put(b []byte) {
	k := bits.Len(uint(cap(b))) - 1
	if cap(b) < 1<<minClass || k > maxClass || len(p.free[k]) >= max(1, perClass>>max(0, k-12)) {
		return
	}
	p.free[k] = append(p.free[k], b[:0])
}

// grow makes room for n more bytes.
func (p *pool) grow(b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b
	}
	bigger := append(p.get(max(len(b)+n, 2*cap(b))), b...)
	p.put(b)
	return bigger
}
