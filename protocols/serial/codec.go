package serial

import (
	"fmt"
	"strconv"
)

// ID is the number of a serialization in the header of a Motan2 frame.
type ID byte

// The numbers that Motan has given. Of those that [For] does not know the bytes can be passed on, but not read.
const (
	IDHessian2 ID = 0 // Java's default
	IDGRPC     ID = 1 // one message of Protocol Buffers
	IDJSON     ID = 2 // fastjson
	IDMsgPack  ID = 3
	IDHprose   ID = 4
	IDProtobuf ID = 5
	IDSimple   ID = 6 // default of motan-go and motan-php
	IDGRPCJSON ID = 7
	IDBreeze   ID = 8
)

var idNames = [...]string{"hessian2", "grpc-pb", "json", "msgpack", "hprose", "protobuf", "simple", "grpc-pb-json", "breeze"}

// String returns the name that Motan's configuration has for the serialization; of one without a name its number.
func (id ID) String() string {
	if int(id) < len(idNames) {
		return idNames[id]
	}
	return "serialization " + strconv.Itoa(int(id))
}

// ParseID returns the serialization of a name that String gives.
func ParseID(name string) (ID, bool) {
	for i, n := range idNames {
		if n == name {
			return ID(i), true
		}
	}
	return 0, false
}

// Codec writes values into bodies and reads them out. Codecs have no state: they may be copied and shared.
type Codec interface {
	// ID is what the header of a frame with such a body says.
	ID() ID
	// Append appends values, one after another: the arguments of a request, or the one value of a reply. An error
	// wraps ErrType, or ErrLimit for what is nested too deep; dst is then as it was.
	Append(dst []byte, values ...any) ([]byte, error)
	// Decode reads all values of a body. They share no memory with it. Kinds are those of the method's parameters;
	// only Protobuf needs them, since all others say on the wire what a value is. An error wraps ErrMalformed or
	// ErrLimit, or ErrType where the bytes cannot be read without knowing more; there are no values then.
	Decode(body []byte, kinds ...Kind) ([]any, error)
}

// For returns the codec of a serialization with all its defaults; false if there is none.
func For(id ID) (Codec, bool) {
	switch id {
	case IDGRPC:
		return GRPC{}, true
	case IDProtobuf:
		return Protobuf{}, true
	case IDSimple:
		return Simple{}, true
	case IDBreeze:
		return Breeze{}, true
	}
	if int(id) < len(registered) && registered[id] != nil {
		return registered[id], true
	}
	return nil, false
}

// registered are codecs by their numbers, for which a frame has five bits. It is written by init functions alone.
var registered [32]Codec

// Register adds a codec of one's own: for a serialization of Motan's that this package only passes on, or for a number that
// Motan has not given, up to 31. It is called from init functions, and only there; it panics on a number that has a codec.
func Register(c Codec) {
	id := c.ID()
	if _, taken := For(id); taken || int(id) >= len(registered) {
		panic(fmt.Sprintf("serial: the codec of %v registered twice, or of no number from 0 to %d", id, len(registered)-1))
	}
	registered[id] = c
}

// DecodeOne reads a reply. An empty body is nil, as it is to motan-go and to Java. More than one value is malformed.
func DecodeOne(c Codec, body []byte, kind Kind) (any, error) {
	if len(body) == 0 && c.ID() != IDGRPC {
		return nil, nil
	}
	values, err := c.Decode(body, kind)
	if err != nil {
		return nil, err
	}
	if len(values) != 1 {
		return nil, malformed("a reply has one value, not %d", len(values))
	}
	return values[0], nil
}
