package serial

import (
	"encoding/binary"
	"math"
)

// Decode reads all values of a body; kinds are not needed.
func (s Simple) Decode(body []byte, _ ...Kind) ([]any, error) {
	c, n := newCursor(body, s.Limits), 0
	for c.left() > 0 {
		if err := c.simple(); err != nil {
			return nil, err
		}
		n++
	}
	d, values := builder{b: body}, make([]any, n)
	for i := range values {
		values[i] = d.simple()
	}
	return values, nil
}

// Check tells whether Decode can read body, and how many values there are, without building them.
func (s Simple) Check(body []byte) (values int, err error) {
	c := newCursor(body, s.Limits)
	for ; c.left() > 0; values++ {
		if err := c.simple(); err != nil {
			return 0, err
		}
	}
	return values, nil
}

// simple checks one value.
func (c *cursor) simple() error {
	if err := c.value(); err != nil {
		return err
	}
	tag, err := c.u8()
	if err != nil {
		return err
	}
	switch tag {
	case tagNull:
	case tagBool:
		_, err = c.bit()
	case tagByte:
		err = c.skip(1)
	case tagInt16:
		err = c.skip(2)
	case tagInt32:
		err = c.int32()
	case tagInt64:
		_, err = c.uvarint(math.MaxUint64)
	case tagFloat32:
		err = c.skip(4)
	case tagFloat64:
		err = c.skip(8)
	case tagString, tagBytes:
		err = c.sized()
	case tagStrings, tagStringMap, tagList, tagMap:
		err = c.simpleMany(tag)
	default:
		err = malformed("tag %d at %d is not one of Simple's", tag, c.at-1)
	}
	return err
}

// simpleMany checks what has elements: they must end where the size says, and a map's must be pairs.
func (c *cursor) simpleMany(tag byte) error {
	n, err := c.size()
	if err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	whole, count := c.b, 0
	c.b = c.b[:c.at+n]
	for ; c.left() > 0; count++ {
		if tag == tagStrings || tag == tagStringMap {
			if err = c.value(); err == nil {
				err = c.sized()
			}
		} else {
			err = c.simple()
		}
		if err != nil {
			return err
		}
	}
	if (tag == tagMap || tag == tagStringMap) && count%2 != 0 {
		return malformed("map that ends at %d has a key without a value", c.at)
	}
	c.b = whole
	c.depth++
	return nil
}

// sized skips what four bytes before it give the length of.
func (c *cursor) sized() error {
	n, err := c.size()
	c.at += n
	return err
}

// simple builds one value.
func (d *builder) simple() any {
	switch tag := d.u8(); tag {
	case tagString:
		return d.sized()
	case tagBytes:
		return d.bytes(int(d.u32()))
	case tagBool:
		return d.u8() == 1
	case tagByte:
		return d.u8()
	case tagInt16:
		return int16(d.u16())
	case tagInt32:
		return d.int32()
	case tagInt64:
		return d.int64()
	case tagFloat32:
		return math.Float32frombits(d.u32())
	case tagFloat64:
		return math.Float64frombits(d.u64())
	case tagStrings:
		return d.simpleStrings()
	case tagStringMap:
		return d.simpleStringMap()
	case tagList:
		return d.simpleList()
	case tagMap:
		return d.simpleMap()
	}
	return nil
}

func (d *builder) sized() string { return string(d.take(int(d.u32()))) }

func (d *builder) simpleStrings() any {
	n := countSized(d.take(int(d.u32())), d)
	if n == 0 {
		return emptyStrings
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.sized()
	}
	return list
}

func (d *builder) simpleStringMap() any {
	n := countSized(d.take(int(d.u32())), d)
	if n == 0 {
		return emptyStrMap
	}
	m := make(StringMap, n/2)
	for i := range m {
		m[i].Key = d.sized()
		m[i].Value = d.sized()
	}
	return m
}

func (d *builder) simpleList() any {
	n := countSimple(d.take(int(d.u32())), d)
	if n == 0 {
		return emptyList
	}
	list := make([]any, n)
	for i := range list {
		list[i] = d.simple()
	}
	return list
}

func (d *builder) simpleMap() any {
	n := countSimple(d.take(int(d.u32())), d)
	if n == 0 {
		return emptyMap
	}
	m := make(Map, n/2)
	for i := range m {
		m[i].Key = d.simple()
		m[i].Value = d.simple()
	}
	return m
}

// countSized counts the strings in b and takes the builder back to the first.
func countSized(b []byte, d *builder) (n int) {
	d.at -= len(b)
	for len(b) > 0 {
		b = b[4+binary.BigEndian.Uint32(b):]
		n++
	}
	return n
}

// countSimple counts the values in b, without looking into them, and takes the builder back to the first.
func countSimple(b []byte, d *builder) (n int) {
	d.at -= len(b)
	for ; len(b) > 0; n++ {
		switch b[0] {
		case tagNull:
			b = b[1:]
		case tagBool, tagByte:
			b = b[2:]
		case tagInt16:
			b = b[3:]
		case tagInt32, tagInt64:
			_, k := binary.Uvarint(b[1:])
			b = b[1+k:]
		case tagFloat32:
			b = b[5:]
		case tagFloat64:
			b = b[9:]
		default:
			b = b[5+binary.BigEndian.Uint32(b[1:]):]
		}
	}
	return n
}
