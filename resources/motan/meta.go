package motan

import (
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
)

// The service by which servers of Motan tell of themselves while they run, in Java and motan-go: a map of texts. A server
// that has no such service says so with an exception of code 501 and this text, which is what motan-go's clients compare.
const (
	metaService  = "com.weibo.api.motan.runtime.meta.MetaService"
	metaMethod   = "getDynamicMeta"
	notSupported = "service not support"
)

// Weights there are 1 to 500, and 10 is usual; ours are ten times as large.
const (
	weightKey   = "META_WEIGHT"
	weightScale = 10
	leastWeight = 1
	mostWeight  = 500
)

// appendMetaRequest appends the request for what a server tells.
func appendMetaRequest(dst []byte, id uint64) []byte {
	var m motan2.Meta
	m = motan2.AppendPair(m, motan2.KeyService, metaService)
	m = motan2.AppendPair(m, motan2.KeyMethod, metaMethod)
	m = motan2.AppendPair(m, motan2.KeyFramework, "y")
	return motan2.Append(dst, motan2.Head{ID: id, Serialization: byte(serial.IDBreeze)}, m, nil)
}

// weightIn reads the answer: the weight that the server says of itself, 0 for none. ok is false when it is no such answer, as that
// of a server without the service.
func weightIn(f *motan2.Frame) (weight int, ok bool) {
	codec, known := serial.For(serial.ID(f.Serialization))
	if f.Status != motan2.StatusNormal || !known {
		return 0, false
	}
	v, err := serial.DecodeOne(codec, f.Body, 0)
	if err != nil {
		return 0, false
	}
	var text string
	switch m := v.(type) {
	case serial.StringMap:
		text, _ = m.Get(weightKey)
	case serial.Map:
		value, _ := m.Get(weightKey)
		text, _ = value.(string)
	case nil: // an empty map, in some serializations
	default:
		return 0, false
	}
	w, err := strconv.Atoi(text)
	if err != nil {
		return 0, true
	}
	return min(max(w, leastWeight), mostWeight) * weightScale, true
}

// framework answers a request to the framework of the agent, and reports whether it was one.
func (co *conn) framework(q *incoming) bool {
	if q.frame == nil || q.frame.Meta.Get(motan2.KeyFramework) == nil {
		return false
	}
	said := co.g.d.lobby.Metadata()
	if string(q.desc.Service) != metaService || said == nil {
		co.refuseFramework(q.head)
		return true
	}
	pairs := make(serial.StringMap, 0, len(said))
	for k, v := range said {
		pairs = append(pairs, serial.StringPair{Key: k, Value: v})
	}
	// In the request's serialization: clients of motan-go 1.2.0 read the answer in their own, which is simple by default, whatever it
	// says that it is in; newer ones ask in Breeze. A caller with another one gets Breeze, and is told so.
	h := q.head
	if h.Serialization != byte(serial.IDSimple) {
		h.Serialization = byte(serial.IDBreeze)
	}
	h.Type = motan2.TypeResponse
	codec, _ := serial.For(serial.ID(h.Serialization))
	body, err := codec.Append(nil, pairs)
	if err != nil { // too much of it
		co.refuseFramework(q.head)
		return true
	}
	co.g.out = motan2.Append(co.g.out[:0], h, nil, body)
	co.conn.Write(co.g.out)
	return true
}

func (co *conn) refuseFramework(h motan2.Head) {
	co.g.out = motan2.AppendException(co.g.out[:0], h, motan2.Exception{Code: motan2.CodeNoMethod, Type: motan2.Service, Text: notSupported})
	co.conn.Write(co.g.out)
}
