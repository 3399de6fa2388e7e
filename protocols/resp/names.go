package resp

import (
	"encoding/binary"
	"math/bits"
)

// maxName is the longest name that Names finds by its hash; longer ones are compared one by one.
const maxName = 24

// Names is a table from command names to values that ignores the case of ASCII letters, as Redis does. Lookup
// allocates nothing and may be called by many goroutines once the table is built; Set may not be called meanwhile: to
// change a table that is in use, Clone it, Set there and swap the pointer. The zero value is an empty table.
type Names[T any] struct {
	slots []nameSlot[T] // power of two, at most half full, linear probing
	count int           // used slots
	long  []longName[T] // names over maxName bytes
}

type nameSlot[T any] struct {
	name  packedName // size 0: free
	value T
}

type longName[T any] struct {
	name  string // upper case
	value T
}

// packedName is a name of 1 to 24 bytes in upper case. Words may repeat bytes; with size they are unambiguous.
type packedName struct {
	a, b, c uint64
	size    int
}

// Set makes name stand for v.
func (t *Names[T]) Set(name string, v T) {
	if len(name) == 0 || len(name) > maxName {
		t.setLong(upper(name), v)
		return
	}
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	t.put(packName([]byte(name)), v)
}

func (t *Names[T]) setLong(name string, v T) {
	for i := range t.long {
		if t.long[i].name == name {
			t.long[i].value = v
			return
		}
	}
	t.long = append(t.long, longName[T]{name, v})
}

func (t *Names[T]) grow() {
	old := t.slots
	t.slots = make([]nameSlot[T], max(16, 2*len(old)))
	t.count = 0
	for i := range old {
		if old[i].name.size != 0 {
			t.put(old[i].name, old[i].value)
		}
	}
}

func (t *Names[T]) put(name packedName, v T) {
	mask := uint64(len(t.slots) - 1)
	for i := name.hash() & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.name.size == 0 {
			t.count++
			s.name, s.value = name, v
			return
		}
		if s.name == name {
			s.value = v
			return
		}
	}
}

// Lookup returns what name stands for.
func (t *Names[T]) Lookup(name []byte) (T, bool) {
	if len(name) == 0 || len(name) > maxName || len(t.slots) == 0 {
		return t.lookupLong(name)
	}
	key := packName(name)
	mask := uint64(len(t.slots) - 1)
	for i := key.hash() & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.name == key {
			return s.value, true
		}
		if s.name.size == 0 {
			var none T
			return none, false
		}
	}
}

func (t *Names[T]) lookupLong(name []byte) (T, bool) {
	for i := range t.long {
		if equalUpper(t.long[i].name, name) {
			return t.long[i].value, true
		}
	}
	var none T
	return none, false
}

// Len returns the number of names.
func (t *Names[T]) Len() int { return t.count + len(t.long) }

// Clone returns a copy that may be changed.
func (t *Names[T]) Clone() *Names[T] {
	return &Names[T]{
		slots: append([]nameSlot[T](nil), t.slots...),
		count: t.count,
		long:  append([]longName[T](nil), t.long...),
	}
}

// upper turns ASCII letters into upper case.
func upper(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
	return string(b)
}

// equalUpper compares name, whose letters may have any case, with an upper-case one.
func equalUpper(upper string, name []byte) bool {
	if len(upper) != len(name) {
		return false
	}
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// packName packs 1 to 24 bytes. Reads overlap instead of looping over single bytes.
func packName(n []byte) packedName {
	p := packedName{size: len(n)}
	switch {
	case len(n) > 16:
		p.a, p.b = upper8(le64(n)), upper8(le64(n[8:]))
		p.c = upper8(le64(n[len(n)-8:]))
	case len(n) > 8:
		p.a, p.b = upper8(le64(n)), upper8(le64(n[len(n)-8:]))
	case len(n) == 8:
		p.a = upper8(le64(n))
	case len(n) >= 4:
		p.a = upper8(uint64(le32(n)) | uint64(le32(n[len(n)-4:]))<<32)
	default:
		p.a = upper8(uint64(n[0]) | uint64(n[len(n)/2])<<8 | uint64(n[len(n)-1])<<16)
	}
	return p
}

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// upper8 turns the lower-case ASCII letters among eight bytes into upper case.
func upper8(w uint64) uint64 {
	const ones = 0x0101010101010101
	low := w & (0x7f * ones)
	fromA := low + (0x80-'a')*ones
	aboveZ := low + (0x7f-'z')*ones
	letter := (fromA &^ aboveZ) & ^w & (0x80 * ones)
	return w ^ letter>>2
}

// hash mixes the words; names are chosen by servers, not by clients, so it need not withstand an attack.
func (p packedName) hash() uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	hi, lo := bits.Mul64(p.a^k0, p.b^bits.RotateLeft64(p.c, 32)^k1^uint64(p.size))
	return hi ^ lo
}
