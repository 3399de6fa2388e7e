package mysql

// Types of values, as far as their lengths in the binary protocol differ.
const (
	typeTiny      = 1
	typeShort     = 2
	typeLong      = 3
	typeFloat     = 4
	typeDouble    = 5
	typeNull      = 6
	typeTimestamp = 7
	typeLongLong  = 8
	typeInt24     = 9
	typeDate      = 10
	typeTime      = 11
	typeDateTime  = 12
	typeYear      = 13
	typeBool      = 244
)

// ParseQuery splits the payload of a COM_QUERY into its query attributes, which are there only with
// ClientQueryAttributes, and the statement. attrs holds everything between the command's byte and the statement, so it
// can be put in front of another statement as it is. Both are parts of payload; its end may be missing if it lies in
// the statement.
func ParseQuery(payload []byte, caps Caps) (attrs, sql []byte, err error) {
	if len(payload) == 0 || Command(payload[0]) != ComQuery {
		return nil, nil, malformed("%s is no COM_QUERY (0x03)", glimpse(payload))
	}
	b := payload[1:]
	if !caps.Has(ClientQueryAttributes) {
		return nil, b, nil
	}
	size, err := attributesLen(b)
	if err != nil {
		return nil, nil, err
	}
	return b[:size:size], b[size:], nil
}

// attributesLen returns the length of the query attributes at the front of b: their number, the number of sets (always
// 1), and, unless there are none, a NULL bitmap, a byte 1, types with names, and values.
func attributesLen(b []byte) (int, error) {
	n, pos := LenencInt(b)
	if pos == 0 || n > maxParams {
		return 0, malformed("COM_QUERY: number of attributes is not between 0 and %d", maxParams)
	}
	sets, size := LenencInt(b[pos:])
	if size == 0 || sets != 1 {
		return 0, malformed("COM_QUERY: %d sets of attributes instead of one", sets)
	}
	pos += size
	if n == 0 {
		return pos, nil
	}
	count := int(n)
	nulls := b[pos:]
	pos += (count + 7) / 8
	if pos >= len(b) || b[pos] != 1 {
		return 0, malformed("COM_QUERY: attributes without types")
	}
	pos++
	types := b[pos:]
	size = typesLen(types, count, true)
	if size < 0 {
		return 0, malformed("COM_QUERY: ends within the types of %d attributes", count)
	}
	pos += size
	for i := range count {
		code := types[0]
		_, name := LenencString(types[2:])
		types = types[2+name:]
		if nulls[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		if size = valueLen(b[pos:], code); size < 0 {
			return 0, malformed("COM_QUERY: ends within attribute %d, of type %d", i, code)
		}
		pos += size
	}
	return pos, nil
}

// valueLen returns the length of a value of the given type at the front of b, -1 if b ends within it.
func valueLen(b []byte, code byte) int {
	size := 0
	switch code {
	case typeNull:
	case typeTiny, typeBool:
		size = 1
	case typeShort, typeYear:
		size = 2
	case typeLong, typeInt24, typeFloat:
		size = 4
	case typeLongLong, typeDouble:
		size = 8
	case typeDate, typeTime, typeDateTime, typeTimestamp:
		if len(b) == 0 {
			return -1
		}
		size = 1 + int(b[0])
	default:
		_, size = LenencString(b)
		if size == 0 {
			return -1
		}
	}
	if size > len(b) {
		return -1
	}
	return size
}
