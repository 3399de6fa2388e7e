package serial

import "math"

// Decode reads all values of a body; kinds are not needed.
func (z Breeze) Decode(body []byte, _ ...Kind) ([]any, error) {
	c, n := breezeCursor{cursor: newCursor(body, z.Limits), record: true}, 0
	for c.left() > 0 {
		if err := c.typed(); err != nil {
			return nil, err
		}
		n++
	}
	d, values := breezeBuilder{builder: builder{b: body}, fields: c.fields}, make([]any, n)
	for i := range values {
		values[i] = d.typed()
	}
	return values, nil
}

// Check tells whether Decode can read body, and how many values there are, without building them.
func (z Breeze) Check(body []byte) (values int, err error) {
	c := breezeCursor{cursor: newCursor(body, z.Limits)}
	for ; c.left() > 0; values++ {
		if err := c.typed(); err != nil {
			return 0, err
		}
	}
	return values, nil
}

// breezeCursor checks a body.
type breezeCursor struct {
	cursor
	names  uint64 // messages that were named
	record bool
	fields []int32 // if record: how many fields each message has, in the order in which messages begin
}

// typed checks a value with its type.
func (c *breezeCursor) typed() error {
	t, err := c.u8()
	if err != nil {
		return err
	}
	switch {
	case t < breezeString:
		if err := c.value(); err != nil {
			return err
		}
		return c.skip(int(t))
	case t >= breezeInt32Direct && t < breezeInt32, t >= breezeInt64Direct && t < breezeInt64,
		t == breezeNull, t == breezeTrue, t == breezeFalse:
		return c.value()
	case t >= breezeMessage:
		if err := c.name(t); err != nil {
			return err
		}
	}
	return c.untyped(t)
}

// elements checks the type that all elements of a packed list or map have. A type that says the value as well is none:
// its elements would take no bytes, and five of them could ask for any number of elements.
func (c *breezeCursor) elements() (byte, error) {
	t, err := c.u8()
	if err != nil {
		return 0, err
	}
	switch t {
	case breezeString, breezeInt32, breezeInt64, breezeTrue, breezeFalse, breezeByte, breezeBytes, breezeInt16, breezeFloat32,
		breezeFloat64, breezeMap, breezeList, breezePackedMap, breezePackedList:
		return t, nil
	}
	if t >= breezeMessage {
		return t, c.name(t)
	}
	return 0, malformed("type %#x at %d for the elements of a packed list or map", t, c.at-1)
}

// name checks what a message of type t says about its name.
func (c *breezeCursor) name(t byte) error {
	var number uint64
	switch t {
	case breezeMessage:
		c.names++
		return c.counted()
	case breezeMessageRef:
		var err error
		if number, err = c.uvarint(math.MaxInt32); err != nil {
			return err
		}
	default:
		number = uint64(t - breezeMessageRef)
	}
	if number < 1 || number > c.names {
		return malformed("message name %d before %d, there were %d", number, c.at, c.names)
	}
	return nil
}

// untyped checks a value whose type stands elsewhere.
func (c *breezeCursor) untyped(t byte) error {
	if err := c.value(); err != nil {
		return err
	}
	switch t {
	case breezeString:
		return c.counted()
	case breezeInt32:
		return c.int32()
	case breezeInt64:
		_, err := c.uvarint(math.MaxUint64)
		return err
	case breezeTrue, breezeFalse:
		v, err := c.u8()
		if err == nil && v != breezeTrue && v != breezeFalse {
			err = malformed("%#x at %d, want a bool", v, c.at-1)
		}
		return err
	case breezeByte:
		return c.skip(1)
	case breezeBytes:
		return c.sized()
	case breezeInt16:
		return c.skip(2)
	case breezeFloat32:
		return c.skip(4)
	case breezeFloat64:
		return c.skip(8)
	case breezeMap, breezeList, breezePackedMap, breezePackedList:
		return c.many(t)
	}
	if t >= breezeMessage {
		return c.message()
	}
	return malformed("type %#x at %d is not one of Breeze's", t, c.at-1)
}

// many checks a list or a map from its count on.
func (c *breezeCursor) many(t byte) error {
	n, err := c.uvarint(math.MaxInt32)
	if err != nil || n == 0 {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	isMap, packed := t == breezeMap || t == breezePackedMap, t == breezePackedMap || t == breezePackedList
	var key, value byte
	if packed && isMap {
		if key, err = c.elements(); err != nil {
			return err
		}
	}
	if packed {
		if value, err = c.elements(); err != nil {
			return err
		}
	}
	for ; n > 0; n-- {
		if isMap {
			if err := c.element(packed, key); err != nil {
				return err
			}
		}
		if err := c.element(packed, value); err != nil {
			return err
		}
	}
	c.depth++
	return nil
}

func (c *breezeCursor) element(packed bool, t byte) error {
	if packed {
		return c.untyped(t)
	}
	return c.typed()
}

// message checks the fields of a message: they must end where its size says.
func (c *breezeCursor) message() error {
	n, err := c.size()
	if err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	whole, slot, count := c.b, len(c.fields), int32(0)
	c.b = c.b[:c.at+n]
	if c.record {
		c.fields = append(c.fields, 0)
	}
	for ; c.left() > 0; count++ {
		if _, err := c.uvarint(math.MaxInt32); err != nil {
			return err
		}
		if err := c.typed(); err != nil {
			return err
		}
	}
	if c.record {
		c.fields[slot] = count
	}
	c.b = whole
	c.depth++
	return nil
}

// breezeBuilder builds the values of a body that a breezeCursor has found right.
type breezeBuilder struct {
	builder
	names  []string
	fields []int32 // of the messages to come
}

func (d *breezeBuilder) typed() any {
	t := d.u8()
	switch {
	case t < breezeString:
		return string(d.take(int(t)))
	case t >= breezeInt32Direct && t < breezeInt32:
		return int32(t) - breezeInt32Zero
	case t >= breezeInt64Direct && t < breezeInt64:
		return int64(t) - breezeInt64Zero
	case t == breezeNull:
		return nil
	case t == breezeTrue, t == breezeFalse:
		return t == breezeTrue
	case t >= breezeMessage:
		return d.message(d.name(t))
	}
	return d.untyped(t, "")
}

// name returns the name of a message of type t.
func (d *breezeBuilder) name(t byte) string {
	switch {
	case t == breezeMessage:
		d.names = append(d.names, d.text())
		return d.names[len(d.names)-1]
	case t == breezeMessageRef:
		return d.names[d.uvarint()-1]
	}
	return d.names[t-breezeMessageRef-1]
}

// elements returns the type of the elements of a packed list or map, and their name if they are messages.
func (d *breezeBuilder) elements() (t byte, name string) {
	if t = d.u8(); t >= breezeMessage {
		name = d.name(t)
	}
	return t, name
}

func (d *breezeBuilder) text() string { return string(d.take(int(d.uvarint()))) }

func (d *breezeBuilder) untyped(t byte, name string) any {
	switch t {
	case breezeString:
		return d.text()
	case breezeInt32:
		return d.int32()
	case breezeInt64:
		return d.int64()
	case breezeTrue, breezeFalse:
		return d.u8() == breezeTrue
	case breezeByte:
		return d.u8()
	case breezeBytes:
		return d.bytes(int(d.u32()))
	case breezeInt16:
		return int16(d.u16())
	case breezeFloat32:
		return math.Float32frombits(d.u32())
	case breezeFloat64:
		return math.Float64frombits(d.u64())
	case breezeList:
		return d.list(int(d.uvarint()))
	case breezeMap:
		return d.pairs(int(d.uvarint()))
	case breezePackedList:
		return d.packedList(int(d.uvarint()))
	case breezePackedMap:
		return d.packedMap(int(d.uvarint()))
	}
	return d.message(name)
}

func (d *breezeBuilder) list(n int) any {
	if n == 0 {
		return emptyList
	}
	list := make([]any, n)
	for i := range list {
		list[i] = d.typed()
	}
	return list
}

func (d *breezeBuilder) pairs(n int) any {
	if n == 0 {
		return emptyMap
	}
	m := make(Map, n)
	for i := range m {
		m[i].Key = d.typed()
		m[i].Value = d.typed()
	}
	return m
}

func (d *breezeBuilder) packedList(n int) any {
	if n == 0 {
		return emptyStrings
	}
	t, name := d.elements()
	if t == breezeString {
		list := make([]string, n)
		for i := range list {
			list[i] = d.text()
		}
		return list
	}
	list := make([]any, n)
	for i := range list {
		list[i] = d.untyped(t, name)
	}
	return list
}

func (d *breezeBuilder) packedMap(n int) any {
	if n == 0 {
		return emptyStrMap
	}
	key, keyName := d.elements()
	value, valueName := d.elements()
	if key == breezeString && value == breezeString {
		m := make(StringMap, n)
		for i := range m {
			m[i].Key = d.text()
			m[i].Value = d.text()
		}
		return m
	}
	m := make(Map, n)
	for i := range m {
		m[i].Key = d.untyped(key, keyName)
		m[i].Value = d.untyped(value, valueName)
	}
	return m
}

func (d *breezeBuilder) message(name string) any {
	end := int(d.u32()) + d.at
	m := Message{Name: name, Fields: make([]Field, d.fields[0])}
	d.fields = d.fields[1:]
	for i := range m.Fields {
		m.Fields[i].Index = uint32(d.uvarint())
		m.Fields[i].Value = d.typed()
	}
	d.at = end
	return m
}
