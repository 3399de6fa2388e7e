package serial

import (
	"encoding/binary"
	"math"
)

// Protobuf is Motan's own use of the encoding of Protocol Buffers (id 5), which motan-go and Java have: before each value
// a flag, 0 or, for null, 1; then the value as a field's would be, but without a tag: integers as sint32 or sint64, bool
// as varint, floats as fixed32 and fixed64, strings and messages with their length.
//
// Nothing tells the types, so Decode needs the kinds of the parameters. Lists, maps and bytes cannot be written.
type Protobuf struct {
	Limits Limits
	// RawBytes: a byte above 0x7f is one raw byte, as Java writes and reads it, instead of a varint of two, as motan-go
	// does. Below there is no difference.
	RawBytes bool
}

// ID is IDProtobuf.
func (Protobuf) ID() ID { return IDProtobuf }

// Append appends values, each behind its flag.
func (p Protobuf) Append(dst []byte, values ...any) ([]byte, error) {
	out := dst
	for _, v := range values {
		if v == nil {
			out = append(out, 1)
			continue
		}
		out = append(out, 0)
		switch v := v.(type) {
		case bool:
			out = append(out, bit(v))
		case byte:
			if p.RawBytes {
				out = append(out, v)
			} else {
				out = binary.AppendUvarint(out, uint64(v))
			}
		case int16:
			out = appendZigzag(out, int64(v))
		case int32:
			out = appendZigzag(out, int64(v))
		case int64:
			out = appendZigzag(out, v)
		case float32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		case float64:
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
		case string:
			out = append(binary.AppendUvarint(out, uint64(len(v))), v...)
		case Proto:
			out = append(binary.AppendUvarint(out, uint64(len(v))), v...)
		default:
			return dst, unsupported("%s in Protobuf, which knows scalars, string and proto", describe(v))
		}
	}
	return out, nil
}

// Decode reads as many values as there are kinds, and these must be all of body. A kind that Protobuf does not know,
// KindAny among them, can only be null.
func (p Protobuf) Decode(body []byte, kinds ...Kind) ([]any, error) {
	c := newCursor(body, p.Limits)
	if len(kinds) > c.values || len(kinds) > len(body) {
		return nil, malformed("%d bytes for %d values", len(body), len(kinds))
	}
	values := make([]any, len(kinds))
	for i, k := range kinds {
		null, err := c.bit()
		if err != nil {
			return nil, err
		}
		if null {
			continue
		}
		if values[i], err = p.decode(&c, k); err != nil {
			return nil, err
		}
	}
	if c.left() > 0 {
		return nil, malformed("%d bytes behind the last of %d values", c.left(), len(kinds))
	}
	return values, nil
}

// decode reads a value that is not null.
func (p Protobuf) decode(c *cursor, k Kind) (any, error) {
	switch k {
	case KindBool:
		v, err := c.bit()
		return v, err
	case KindByte:
		if p.RawBytes {
			v, err := c.u8()
			return v, err
		}
		v, err := c.uvarint(math.MaxUint8)
		return byte(v), err
	case KindInt16, KindInt32, KindInt64:
		return c.sint(k)
	case KindFloat32:
		if err := c.skip(4); err != nil {
			return nil, err
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(c.b[c.at-4:])), nil
	case KindFloat64:
		if err := c.skip(8); err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(c.b[c.at-8:])), nil
	case KindString, KindProto:
		n, err := c.uvarint(math.MaxInt32)
		if err != nil {
			return nil, err
		}
		if err := c.skip(int(n)); err != nil {
			return nil, err
		}
		b := c.b[c.at-int(n) : c.at]
		if k == KindProto {
			return append(Proto{}, b...), nil
		}
		return string(b), nil
	}
	return nil, unsupported("a value of kind %s cannot be told in Protobuf", k)
}

// sint reads a zigzag varint that fits the kind.
func (c *cursor) sint(k Kind) (any, error) {
	limit := uint64(math.MaxUint64)
	switch k {
	case KindInt16:
		limit = math.MaxUint16
	case KindInt32:
		limit = math.MaxUint32
	}
	u, err := c.uvarint(limit)
	if err != nil {
		return nil, err
	}
	v, _ := sizedInt(int64(u>>1)^-int64(u&1), k)
	return v, nil
}

// GRPC is the body of gRPC (id 1): one message of Protocol Buffers, as it is.
type GRPC struct{}

// ID is IDGRPC.
func (GRPC) ID() ID { return IDGRPC }

// Append appends a Proto; it must be the only value.
func (GRPC) Append(dst []byte, values ...any) ([]byte, error) {
	if len(values) != 1 {
		return dst, unsupported("%d values in grpc-pb, which has just one message", len(values))
	}
	m, ok := values[0].(Proto)
	if !ok {
		return dst, unsupported("%s in grpc-pb, which has just one message", describe(values[0]))
	}
	return append(dst, m...), nil
}

// Decode returns a copy of the body as Proto; kinds are not needed.
func (GRPC) Decode(body []byte, _ ...Kind) ([]any, error) {
	return []any{append(Proto{}, body...)}, nil
}
