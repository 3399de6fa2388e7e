package serial

import (
	"encoding/binary"
	"math"
)

// cursor walks over a body in the first of two passes: it checks everything and builds nothing, so that the second one,
// which builds, needs to check nothing and knows how many elements there are.
type cursor struct {
	b      []byte
	at     int
	depth  int // levels that are left
	values int // values that are left
	limits Limits
}

func newCursor(b []byte, l Limits) cursor {
	return cursor{b: b, depth: l.depth(), values: l.values(), limits: l}
}

// left returns how many bytes there are.
func (c *cursor) left() int { return len(c.b) - c.at }

// value counts one value.
func (c *cursor) value() error {
	if c.values--; c.values < 0 {
		return overLimit("more than %d values", c.limits.values())
	}
	return nil
}

// enter begins a level, which ends with c.depth++.
func (c *cursor) enter() error {
	if c.depth--; c.depth < 0 {
		return tooDeep(c.limits.depth())
	}
	return nil
}

func (c *cursor) skip(n int) error {
	if n < 0 || n > c.left() {
		return malformed("%d bytes wanted at %d, %d are left", n, c.at, c.left())
	}
	c.at += n
	return nil
}

func (c *cursor) u8() (byte, error) {
	if c.left() < 1 {
		return 0, malformed("ends at %d, inside a value", c.at)
	}
	c.at++
	return c.b[c.at-1], nil
}

// size reads a length of four bytes and checks that so many follow.
func (c *cursor) size() (int, error) {
	if c.left() < 4 {
		return 0, malformed("ends at %d, inside a length", len(c.b))
	}
	n := binary.BigEndian.Uint32(c.b[c.at:])
	c.at += 4
	if uint64(n) > uint64(c.left()) {
		return 0, malformed("length %d at %d, %d bytes are left", n, c.at-4, c.left())
	}
	return int(n), nil
}

// uvarint reads a number of groups of seven bits, the lowest first, that is at most limit.
func (c *cursor) uvarint(limit uint64) (uint64, error) {
	v, n := binary.Uvarint(c.b[c.at:])
	if n == 0 {
		return 0, malformed("ends at %d, inside a number", len(c.b))
	}
	if n < 0 || v > limit {
		return 0, malformed("number at %d is above %d", c.at, limit)
	}
	c.at += n
	return v, nil
}

// int32 reads a zigzag varint of 32 bits. Java writes one whose bit 31 is set with all bits above it set as well, in ten
// bytes instead of five; all readers drop them.
func (c *cursor) int32() error {
	v, err := c.uvarint(math.MaxUint64)
	if err == nil && v > math.MaxUint32 && v < math.MaxUint64-math.MaxInt32 {
		err = malformed("number before %d has more than 32 bits", c.at)
	}
	return err
}

// counted skips what a number before it gives the length of.
func (c *cursor) counted() error {
	n, err := c.uvarint(math.MaxInt32)
	if err != nil {
		return err
	}
	return c.skip(int(n))
}

// bit reads a byte that is 0 or 1.
func (c *cursor) bit() (bool, error) {
	v, err := c.u8()
	if err == nil && v > 1 {
		err = malformed("%#x at %d, want 0 or 1", v, c.at-1)
	}
	return v == 1, err
}

// builder walks over a body that a cursor has found right.
type builder struct {
	b  []byte
	at int
}

func (d *builder) u8() byte {
	d.at++
	return d.b[d.at-1]
}

func (d *builder) u16() uint16 {
	d.at += 2
	return binary.BigEndian.Uint16(d.b[d.at-2:])
}

func (d *builder) u32() uint32 {
	d.at += 4
	return binary.BigEndian.Uint32(d.b[d.at-4:])
}

func (d *builder) u64() uint64 {
	d.at += 8
	return binary.BigEndian.Uint64(d.b[d.at-8:])
}

func (d *builder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b[d.at:])
	d.at += n
	return v
}

func (d *builder) int64() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *builder) int32() int32 {
	v := uint32(d.uvarint())
	return int32(v>>1) ^ -int32(v&1)
}

// take returns the next n bytes where they are.
func (d *builder) take(n int) []byte {
	d.at += n
	return d.b[d.at-n : d.at]
}

// bytes returns a copy of the next n bytes.
func (d *builder) bytes(n int) any {
	if n == 0 {
		return emptyBytes
	}
	return append(make([]byte, 0, n), d.take(n)...)
}

func appendZigzag(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v<<1)^uint64(v>>63))
}

// openSize appends room for a length of four bytes; closeSize fills it in.
func openSize(dst []byte) (out []byte, at int) { return append(dst, 0, 0, 0, 0), len(dst) }

func closeSize(dst []byte, at int) error {
	n := len(dst) - at - 4
	if n > math.MaxInt32 {
		return unsupported("%d bytes in one value, most are %d", n, math.MaxInt32)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(n))
	return nil
}
